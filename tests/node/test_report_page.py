"""The page of `dataops report` in a real Chromium, with axe-core's rules; needs `chromium` on the PATH."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.node.tool import Tool
from tests.unit.test_html import HARD, long_history, whole

LOOK = """
const { chromium } = require("playwright-core");
const fs = require("fs");
(async () => {
  const [executablePath, page_, axe] = process.argv.slice(2);
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await chromium.launch({ executablePath, args });
  const found = {};
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ colorScheme, offline: true, bypassCSP: true });
    const page = await context.newPage();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    const said = [];
    page.on("console", (message) => said.push(message.text()));
    page.on("dialog", (dialog) => said.push(dialog.message()));
    await page.goto("file://" + page_);
    await page.addScriptTag({ path: axe });
    const { violations } = await page.evaluate("axe.run()");
    found[colorScheme] = violations.map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html)]);
    found.asked = asked.filter((url) => url !== "file://" + page_);
    found.said = said;
    await context.close();
  }
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 400, height: 800 } });
  const page = await plain.newPage();
  await page.goto("file://" + page_);
  found.headings = await page.locator("h2:visible").allInnerTexts();
  found.focused = [];
  for (let at = 0; at < 3; at++) {
    await page.keyboard.press("Tab");
    found.focused.push(await page.locator(":focus").innerText());
  }
  found.wide = (await page.locator("html").evaluate((html) => html.scrollWidth)) > 400;
  await browser.close();
  fs.writeFileSync(1, JSON.stringify(found));
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.parametrize(("count", "applied"), [(62, 40), (2_000, 1_990)])
def test_people_with_any_browser_and_a_screen_reader_can_read_it(
    tmp_path: Path, modules: Path, count: int, applied: int
) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "install chromium: apt-get install chromium"
    (tmp_path / "look.js").write_text(LOOK)
    made = tmp_path / "report.html"
    made.write_text(whole(long_history(count, applied, HARD)))
    found: dict[str, Any] = json.loads(
        Tool(tmp_path, modules, ("look.js", chromium, str(made), str(modules / "axe-core" / "axe.min.js")))()
    )
    assert found["light"] == []
    assert found["dark"] == []
    assert [url for url in found["asked"] if "axe" not in url] == []
    assert found["said"] == []
    assert found["headings"][:3] == ["Services", "Migrations", "Runs"]
    assert found["focused"][:2] == ["To the content", "Services"]
    assert found["wide"] is False
