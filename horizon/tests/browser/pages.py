# SPDX-License-Identifier: Apache-2.0
"""Horizon in Debian's chromium, driven as a user does: by what is seen."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

_MODULES = Path(__file__).resolve().parents[2] / "node_modules"
AXE = Path(os.environ.get("NODE_MODULES", _MODULES)) / "axe-core/axe.min.js"
# Seconds in which what a page does must be seen; more on a machine that is busy.
PATIENCE = float(os.environ.get("WALK_PATIENCE", "60"))
T = TypeVar("T")
_PENDING = """
if (!window.angular) return 1;
var injector = angular.element(document.body).injector();
if (!injector) return 1;
return injector.get('$http').pendingRequests.length;
"""
_AXE = """
var done = arguments[arguments.length - 1];
axe.run(arguments[0] || document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})
  .then(done, function (error) { done({violations: [], error: String(error)}); });
"""
# Faults of Horizon's own pages and theme, which are on each page: a rule of axe-core and what the
# element begins with.
_OF_HORIZON = (
    ("aria-allowed-attr", '<input class="search-input'),
    ("color-contrast", '<a class="openstack-spin'),
    ("color-contrast", '<a href="" ng-click="select('),
    ("color-contrast", '<a href="javascript:history.back()"'),
    ("color-contrast", '<a href="ngdetails/'),
    ("list", '<ul id="sidebar-accordion'),
)
_PASSING = (
    exceptions.NoSuchElementException,
    exceptions.StaleElementReferenceException,
    exceptions.ElementNotInteractableException,
    exceptions.ElementClickInterceptedException,
    AssertionError,
)


class Browser:
    """A logged-in browser.

    :param url: of Horizon.
    :param shots: directory for screenshots.
    """

    def __init__(self, url: str, shots: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = os.environ.get("CHROME_BIN", "/usr/bin/chromium")
        self.downloads = shots / "downloads"
        self.downloads.mkdir(parents=True, exist_ok=True)
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1500,1100",
            "--no-proxy-server",
            # Else a download without TLS, but from the loopback address, waits for a user.
            f"--unsafely-treat-insecure-origin-as-secure={url}",
        ):
            options.add_argument(argument)
        options.add_experimental_option(
            "prefs",
            {
                "download.default_directory": str(self.downloads),
                "download.prompt_for_download": False,
                "intl.accept_languages": os.environ.get("HORIZON_LANGUAGE", "en"),
            },
        )
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService("/usr/bin/chromedriver")
        )
        self.driver.set_page_load_timeout(120)
        self.driver.set_script_timeout(60)
        self.url = url
        self.shots = shots

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def until(self, what: Callable[[], T], patience: float = PATIENCE) -> T:
        """Return what a function returns as soon as it is true and nothing raises.

        :raises AssertionError: with the last failure, after ``patience`` seconds.
        """
        deadline = time.monotonic() + patience
        last: object = None
        while time.monotonic() < deadline:
            try:
                if result := what():
                    return result
                last = result
            except _PASSING as error:
                last = error
            time.sleep(0.2)
        raise AssertionError(f"Not within {patience:.0f} s: {last}")

    def settle(self) -> None:
        """Wait until the page asks nothing any more."""
        calm = 0

        def is_calm() -> bool:
            nonlocal calm
            calm = calm + 1 if self.driver.execute_script(_PENDING) == 0 else 0
            return calm >= 3

        self.until(is_calm)

    def log_in(self, user: str, password: str) -> None:
        """Log in with the domain Default."""
        self.driver.get(f"{self.url}/auth/login/")
        self.driver.find_element(By.ID, "id_username").send_keys(user)
        self.driver.find_element(By.ID, "id_password").send_keys(password)
        domain = self.driver.find_elements(By.ID, "id_domain")
        if domain and domain[0].is_displayed():
            domain[0].clear()
            domain[0].send_keys("Default")
        self.driver.find_element(By.ID, "loginBtn").click()
        self.until(lambda: "/auth/login" not in self.driver.current_url)

    def open(self, path: str) -> None:
        """Open a page below the address of Horizon."""
        self.driver.get(f"{self.url}/{path}")
        self.settle()

    def find(self, css: str, text: str = "") -> WebElement:
        """Return the first element that is seen and has a text."""
        for element in self.driver.find_elements(By.CSS_SELECTOR, css):
            if element.is_displayed() and text in element.text:
                return element
        raise exceptions.NoSuchElementException(f"{css} with {text!r} is not seen.")

    def click(self, css: str, text: str = "") -> None:
        """Click what is seen as soon as it can be clicked."""

        def clicked() -> bool:
            element = self.find(css, text)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        self.until(clicked)

    def fill(self, name: str, value: Any) -> None:
        """Write into the field of a dialog with a name."""

        def filled() -> bool:
            field = self.find(f".modal [name='{name}']")
            field.clear()
            field.send_keys(str(value))
            return True

        self.until(filled)

    def choose(self, name: str, text: str) -> None:
        """Choose what has a text, of the select of a dialog with a name."""

        def chosen() -> bool:
            select = Select(self.find(f".modal select[name='{name}']"))
            offered = [option.text for option in select.options]
            assert text in offered, f"{name} offers {offered}"
            select.select_by_visible_text(text)
            return True

        self.until(chosen)

    def tab(self, text: str) -> None:
        """Go to a tab of a dialog."""
        self.click(".modal .nav-pills a", text)

    def row(self, text: str) -> WebElement:
        """Return the row of the list that has a text."""
        rows = self.driver.find_elements(By.CSS_SELECTOR, "hz-resource-table tbody tr")
        found = [row for row in rows if row.is_displayed() and text in row.text]
        assert found, f"No row has {text!r}."
        return found[0]

    def act(self, row: str, action: str) -> None:
        """Choose an action of the menu of a row."""

        def chosen() -> bool:
            found = self.row(row)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
            first = found.find_elements(By.CSS_SELECTOR, "action-list .split-button")
            if first and first[0].text.strip() == action:
                first[0].click()
                return True
            if not found.find_elements(By.CSS_SELECTOR, "action-list.open, .open"):
                found.find_element(By.CSS_SELECTOR, ".dropdown-toggle").click()
            items = found.find_elements(By.CSS_SELECTOR, ".dropdown-menu li a")
            item = next((one for one in items if one.text.strip() == action), None)
            assert item is not None, f"The menu has {[one.text for one in items]}."
            item.click()
            return True

        self.until(chosen)

    def actions(self, row: str) -> list[str]:
        """Return the actions that a row offers."""
        found = self.until(lambda: self.row(row).find_elements(By.CSS_SELECTOR, "action-list"))
        texts = found[0].get_attribute("textContent") or ""
        return [line.strip() for line in texts.splitlines() if line.strip()]

    def shot(self, name: str) -> None:
        """Keep a picture of what is seen."""
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def accessibility(self, css: str) -> list[dict[str, Any]]:
        """Return what axe-core finds serious or worse in a part of the page.

        What Horizon does so on each page is left out.
        """
        self.driver.execute_script(AXE.read_text())
        result = self.driver.execute_async_script(_AXE, css)
        assert "error" not in result, result["error"]
        found = []
        for one in result["violations"]:
            own = tuple(start for rule, start in _OF_HORIZON if rule == one["id"])
            nodes = [node["html"][:200] for node in one["nodes"]]
            nodes = [node for node in nodes if not node.startswith(own)]
            if nodes and one["impact"] in ("serious", "critical"):
                found.append({"id": one["id"], "impact": one["impact"], "nodes": nodes})
        return found

    def _log(self) -> list[dict[str, str]]:
        read: Any = self.driver.get_log
        found: list[dict[str, str]] = read("browser")
        return found

    def errors(self) -> list[str]:
        """Return what the console says of errors since the last call."""
        return [entry["message"][:500] for entry in self._log() if entry["level"] == "SEVERE"]


def dump(value: Any) -> str:
    """Return a value as readable JSON."""
    return json.dumps(value, indent=1)
