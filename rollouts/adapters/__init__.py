"""What speaks a service's API: `_chat.py` does it, the other files say where services differ.

An adapter turns a conversation into a wire body and an HTTP answer into a `Response`. It sends nothing, keeps no
key and knows no cache.
"""
