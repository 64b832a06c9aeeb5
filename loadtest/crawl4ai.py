"""Crawl4AI as a library, for the bench: one worker, which keeps its crawler from request to request.

Arguments: `http`, or `browser`, Chromium and what to wait for. Reads a line of JSON, {"urls": [...], "permits": n}, crawls these pages
with so many at once, and answers with a line: {"ok": pages with Markdown and fit Markdown, "why": why one is not}. An empty list of
URLs starts the crawler and no more.
"""

import asyncio
import json
import os
import sys

# Whatever is printed on the way must not stand between the answers.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

from crawl4ai import (  # noqa: E402
    AsyncWebCrawler,
    BrowserConfig,
    CacheMode,
    CrawlerRunConfig,
    DefaultMarkdownGenerator,
    HTTPCrawlerConfig,
    PruningContentFilterLXML,
)
from crawl4ai.async_crawler_strategy import AsyncHTTPCrawlerStrategy  # noqa: E402
from crawl4ai.async_dispatcher import SemaphoreDispatcher  # noqa: E402


def launch_with(executable):
    """Crawl4AI has no setting for the browser's path, and Playwright's own browser may not be there."""
    import playwright.async_api

    kinds = [playwright.async_api.BrowserType]
    try:
        import patchright.async_api

        kinds.append(patchright.async_api.BrowserType)
    except ImportError:
        pass
    for kind in kinds:
        launch = kind.launch

        async def with_path(self, *args, _launch=launch, **options):
            options.pop("channel", None)
            return await _launch(self, *args, **{**options, "executable_path": executable})

        kind.launch = with_path


def crawler(arguments):
    if arguments[0] == "http":
        return AsyncWebCrawler(crawler_strategy=AsyncHTTPCrawlerStrategy(browser_config=HTTPCrawlerConfig()), verbose=False)
    launch_with(arguments[1])
    # As crawlmesh has it by default: no images.
    config = BrowserConfig(headless=True, text_mode=True, verbose=False)
    return AsyncWebCrawler(config=config)


async def crawl(crawler, wait, urls, permits):
    config = CrawlerRunConfig(
        cache_mode=CacheMode.BYPASS,
        markdown_generator=DefaultMarkdownGenerator(content_filter=PruningContentFilterLXML()),
        verbose=False,
        **({"wait_until": wait, "delay_before_return_html": 0.0} if wait else {}),
    )
    ok, why = 0, ""
    dispatcher = SemaphoreDispatcher(max_session_permit=permits)
    # Without `stream`: the dispatcher without memory checks, which are a poll that only delays, has no other form.
    for result in await crawler.arun_many(urls, config=config, dispatcher=dispatcher):
        if result.success and result.markdown.raw_markdown and result.markdown.fit_markdown is not None:
            ok += 1
        else:
            why = f"{result.url}: {result.error_message or 'no Markdown'}"
    return {"ok": ok, "why": why}


async def main():
    arguments = sys.argv[1:]
    wait = arguments[2] if len(arguments) > 2 else ""
    async with crawler(arguments) as kept:
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            answer = {"ok": 0, "why": ""}
            if request["urls"]:
                answer = await crawl(kept, wait, request["urls"], request["permits"])
            print(json.dumps(answer), file=answers)


asyncio.run(main())
