"""Floor 3: one shared aiohttp client and gather. Runs where aiohttp is installed."""

from __future__ import annotations

from harness import KEY, Peer, body_of, main


class Aiohttp(Peer):
    name = "aiohttp"

    def load(self):
        import aiohttp

        self.library = aiohttp

    def client(self):
        self.url = self.args.base_url + "/chat/completions"

    async def setup(self):
        connector = self.library.TCPConnector(limit=self.args.concurrency)
        return self.library.ClientSession(headers={"Authorization": f"Bearer {KEY}"}, connector=connector)

    async def call(self, session, item):
        async with session.post(self.url, json=body_of(item)) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    async def finish(self, session):
        await session.close()

    def run(self, work):
        return self.gather(self.call, work, self.setup, self.finish)


if __name__ == "__main__":
    main(Aiohttp)
