"""Floor 1: one `requests.Session` shared by C threads, and no feature at all.

`--mode tuned`: the same with what the library itself can be told (a prepared request copied, no look-up of the
environment, a session a thread, C long loops). `--cache json|sql`: the cheapest cache of each shape.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import sqlite3
import threading

from harness import KEY, PROMPT, WARM_UP, Peer, body_of, main

HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


class Requests(Peer):
    name = "requests"
    modes = ("shared", "tuned")
    caches = ("json", "sql")

    def load(self):
        import requests

        self.requests = requests

    def client(self):
        self.url = self.args.base_url + "/chat/completions"
        self.local = threading.local()
        self.session = self.new_session(self.args.concurrency)
        self.template = self.session.prepare_request(self.requests.Request("POST", self.url, data=b"{}"))

    def new_session(self, pool):
        session = self.requests.Session()
        session.mount("http://", self.requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=pool))
        session.headers.update(HEADERS)
        session.trust_env = self.args.mode == "shared"
        return session

    def warm_up(self):
        self.send((WARM_UP, 0))

    def send(self, item):
        if self.args.mode == "tuned":
            return self.send_prepared(item)
        response = self.session.post(self.url, json=body_of(item), timeout=60)
        if response.status_code != 200:
            raise RuntimeError(response.status_code)
        return response.json()["choices"][0]["message"]["content"]

    def send_prepared(self, item):
        try:
            session = self.local.session
        except AttributeError:
            session = self.local.session = self.new_session(1)
        request = self.template.copy()
        request.body = json.dumps(body_of(item)).encode()
        request.headers["Content-Length"] = str(len(request.body))
        # Session.send asks for no environment when every setting is given.
        response = session.send(request, timeout=60, proxies={}, verify=True, cert=None, stream=False)
        return json.loads(response.content)["choices"][0]["message"]["content"]

    def run(self, work):
        if self.args.cache:
            return {"json": self.run_json, "sql": self.run_sql}[self.args.cache](work)
        if self.args.mode == "shared":
            return self.threads(self.send, work)
        texts = [None] * len(work)
        turns = itertools.count()  # next() on a count is atomic under the GIL

        def worker(_):
            for i in turns:
                if i >= len(work):
                    return
                texts[i] = self.send(work[i])

        self.threads(worker, range(self.args.concurrency))
        return texts

    def run_json(self, work):
        root = self.args.cache_dir
        if self.args.job == "cache_read":
            texts = []
            for _, seed in work:
                with open(f"{root}/seed_{seed:05d}.json", "rb") as file:
                    texts.append(json.loads(file.read())["content"])
            return texts

        def call(item):
            text = self.send(item)
            name = f"{root}/seed_{item[1]:05d}.json"
            with open(name + ".tmp", "w") as file:
                file.write(json.dumps({"prompt": item[0], "seed": item[1], "content": text}))
            os.replace(name + ".tmp", name)
            return text

        return self.threads(call, work)

    def run_sql(self, work):
        db = sqlite3.connect(os.path.join(self.args.cache_dir, "floor.db"), check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(
            "CREATE TABLE IF NOT EXISTS samples (prompt TEXT, seed INTEGER, json TEXT, "
            "PRIMARY KEY (prompt, seed)) WITHOUT ROWID"
        )
        if self.args.job == "cache_read":
            rows = db.execute("SELECT seed, json FROM samples WHERE prompt = ?", (PROMPT,))
            found = {seed: json.loads(text)["content"] for seed, text in rows}
            return [found[seed] for _, seed in work]
        waiting: queue.SimpleQueue = queue.SimpleQueue()

        def write():
            while True:
                rows = [waiting.get()]
                while not waiting.empty():
                    rows.append(waiting.get())
                with db:
                    db.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", [r for r in rows if r])
                if None in rows:
                    return

        writer = threading.Thread(target=write)
        writer.start()

        def call(item):
            text = self.send(item)
            waiting.put((*item, json.dumps({"seed": item[1], "content": text})))
            return text

        texts = self.threads(call, work)
        waiting.put(None)
        writer.join()
        return texts


if __name__ == "__main__":
    main(Requests)
