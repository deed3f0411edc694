from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.search.results import Frontier, read_frontier


@pytest.fixture
def as_frontier(tmp_path: Path) -> Callable[[dict[str, Any]], Frontier]:
    """Return the function that makes results a frontier, through a file."""

    def read(results: dict[str, Any]) -> Frontier:
        path = tmp_path / "frontier.json"
        path.write_text(json.dumps(results))
        return read_frontier(path)

    return read


@dataclass
class Browser:
    """A headless browser, and what pages did in it that they should not."""

    driver: Any

    def open(self, page: Path, width: int = 1280, scheme: str = "light") -> None:
        self.resize(width, scheme)
        self.complaints(), self.requests()
        self.driver.get(page.as_uri())

    def resize(self, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self) -> list[str]:
        """Return what stands on the console since the last call: errors, and breaches of the page's policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call, pictures inside the page left out."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                found.append(message["params"].get("request", message["params"])["url"])
        return [address for address in found if not address.startswith("data:")]

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def enter(self, selector: str, value: object) -> None:
        """Put a value into an input at once, as its user does by hand."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.run(script, self.find(selector), str(value))

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    if binary is None or service is None:
        pytest.skip("no browser: Debian's packages chromium and chromium-driver are not installed")
    selenium = pytest.importorskip("selenium.webdriver")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    flags = "headless disable-gpu no-first-run disable-background-networking disable-component-update disable-sync"
    for flag in [*flags.split(), "disable-dev-shm-usage", f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses root, as in containers
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(service))
    yield driver
    driver.quit()


@pytest.fixture
def browser(_driver: Any) -> Browser:
    """Return the browser; skip where none is installed."""
    return Browser(_driver)
