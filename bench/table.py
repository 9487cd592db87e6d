"""The table on standard output: one row for each figure."""

LAYOUT = "{:<20} {:<25} {:>12} {:>12} {:>8} {:>12} {:>3}  {}"
HEAD = ("benchmark", "variant", "remoteler", "peer", "ratio", "pairs", "n", "aim")


def head():
    return LAYOUT.format(*HEAD)


def amount(side):
    value = side["median"]
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f} {side['unit']}"


def aim(result):
    if "aim" not in result:
        return "written down"
    return f"{result['aim']}, {'met' if result['is_met'] else 'MISSED'}"


def row(name, result):
    pairs = result.get("pairs")
    return LAYOUT.format(
        name,
        result["variant"],
        amount(result["subject"]),
        amount(result["peer"]) if "peer" in result else "",
        f"{result['ratio']:.2f} x" if "ratio" in result else "",
        f"{pairs['least']:.2f}-{pairs['greatest']:.2f}" if pairs else "",
        len(result["subject"]["runs"]),
        aim(result),
    ).rstrip()
