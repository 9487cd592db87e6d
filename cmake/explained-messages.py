#!/usr/bin/env python3
"""Every warning and error that a program logs, and every code that an error has, is explained on a page.

explained-messages.py PAGE: the messages are the string literals of the sources; in the page they stand in backticks.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LITERALS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
CALLS = (re.compile(r"\brl_log_(?:warn|error)\(\s*" + LITERALS), re.compile(r"\baudit_say_refused\([^;]*?,\s*" + LITERALS))
OTHERWISE = re.compile(r'\brl_log_(?:warn|error)\(\s*(?!what,)[^"\s]')  # `what` is audit_say_refused's own


def sources():
    for top in ("lib", "agent", "services", "cli"):
        for path in sorted((ROOT / top).rglob("*.c")):
            if not {"tests", "fuzz"} & set(path.parts) and path.parent != ROOT / "lib" / "log":
                yield path, path.read_text()


def logged():
    for path, text in sources():
        for call in CALLS:
            for found in call.finditer(text):
                yield path, "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', found.group(1)))
        if OTHERWISE.search(text):
            sys.exit(f"{path.relative_to(ROOT)}: a message is a literal, so that it can be looked for")


def codes():
    text = (ROOT / "lib" / "status" / "status.c").read_text()
    return sorted(set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', text)) - {"OK"})


def main():
    page = (ROOT / sys.argv[1]).read_text()
    messages = list(logged())
    assert len(messages) > 50 and len(codes()) == 16, "the sources look otherwise: see to this script"
    missing = {f"{path.relative_to(ROOT)}: {message}" for path, message in messages
               if f"`{message}`" not in page and f"`` {message} ``" not in page}
    missing |= {f"the code {code}" for code in codes() if f"`{code}`" not in page}
    for line in sorted(missing):
        print(f"{sys.argv[1]} does not explain: {line}")
    return 1 if missing else 0


sys.exit(main())
