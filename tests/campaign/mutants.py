"""Break the package forty times and see whether the tests notice.

Ten breaks are written by hand, the others are drawn at random over all mutations of the package::

    python -m tests.campaign.mutants --seed 1 --count 30

It ends with a table, and with success where at least 7 of 8 were caught. It needs the packages of
the dependency groups ``campaign``, ``integration``, ``lint`` and ``typing``, and the extras and the
servers that the integration tests need: one that is missing is red.
"""

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .broken import Break
from .by_hand import by_hand
from .copies import copy_prepared, copy_project
from .mutations import drawn
from .results import Result, Results, is_enough, table
from .steps import DEFAULT_INTEGRATION, Tier, run_tiers, tiers_for

__all__ = ["main"]

_ROOT = Path(__file__).parents[2]
_printing = threading.Lock()


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; return 0 where enough breaks were caught."""
    options = _options(arguments)
    results = Results(options.results)
    source = _digest(_ROOT / "src/mastostream")
    seed: int | None = options.seed
    done: dict[int, Result] = {}
    if options.resume:
        about, done = results.read()
        if about["source"] != source or about["count"] != options.count:
            return _refuse(f"{options.results} is of another source or count: leave out --resume")
        seed = about["seed"]
    elif seed is None:
        seed = random.SystemRandom().randrange(2**32)
    _say(f"seed {seed}: the same breaks come again with --seed {seed} --count {options.count}")
    try:
        breaks = dict(enumerate([*by_hand(_ROOT), *drawn(_ROOT, options.count, seed)], start=1))
    except ValueError as error:
        return _refuse(str(error))
    chosen = {number: breaks[number] for number in _numbers(options.only) or breaks}
    if options.list:
        for number, chosen_break in chosen.items():
            _say(f"{number:3} {chosen_break.path}:{chosen_break.line}: {chosen_break.what}")
        return 0
    results.begin({"seed": seed, "count": options.count, "source": source})
    for result in done.values():
        results.add(result)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        Path(folder).chmod(0o755)  # Elasticsearch may run as another user
        campaign = _Campaign(Path(folder), results, options)
        if not campaign.prepare():
            return 2
        left = {number: chosen[number] for number in chosen if number not in done}
        with ThreadPoolExecutor(options.jobs) as pool:
            new = pool.map(lambda pair: campaign.run(*pair), left.items())
            done |= {result.number: result for result in new}
    chosen_results = [done[number] for number in chosen]
    _say(f"\nseed {seed}\n\n{table(chosen_results)}")
    return 0 if is_enough(chosen_results) else 1


class _Campaign:
    def __init__(self, folder: Path, results: Results, options: argparse.Namespace) -> None:
        self._folder = folder
        self._prepared = folder / "sound"
        self._results = results
        self._options = options

    def prepare(self) -> bool:
        """Copy the project without any break; return whether the tests chosen by --first pass.

        A test that is red without a break would seem to catch every break.
        """
        copy_project(_ROOT, self._prepared)
        tiers = self._tiers(Path("src/mastostream/__init__.py"))
        wanted = {"none": tiers[1:2], "unit": tiers[1:3], "all": tiers[1:]}
        outcome = run_tiers(self._prepared, wanted[self._options.first])
        for test in outcome.unsteady:
            _say(f"not steady without any break: {test}")
        if outcome.tier is not None:
            _refuse(f"red without any break: {outcome.tier}: {outcome.test}")
        return outcome.tier is None

    def run(self, number: int, tried: Break) -> Result:
        """Apply one break to a copy, run the tiers, and write down the result."""
        began_s = time.monotonic()
        copy = self._folder / f"{number:02}"
        copy_prepared(self._prepared, copy)
        try:
            (copy / tried.path).write_text(tried.text, "utf-8")
            outcome = run_tiers(copy, self._tiers(tried.path))
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        result = Result(
            number=number,
            where=f"{tried.path.relative_to('src/mastostream')}:{tried.line}",
            what=tried.what,
            tier=outcome.tier,
            test=outcome.test,
            unsteady=outcome.unsteady,
            seconds=round(time.monotonic() - began_s, 1),
        )
        with _printing:
            self._results.add(result)
        red = f"{result.tier}: {result.test}" if result.caught else "SURVIVED"
        _say(f"{number:3} {result.where}: {result.what}\n    {red} ({result.seconds:.0f} s)")
        return result

    def _tiers(self, path: Path) -> list[Tier]:
        options = self._options
        return tiers_for(_ROOT, path, integration=options.integration, scale=options.patience)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.mutants", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="of the draw; one is chosen, and printed, where none is given")
    add("--count", type=int, default=30, help="breaks that are drawn (30)")
    add("--only", default="", help="only these breaks: 1-10,14; the first ten are those by hand")
    add("--list", action="store_true", help="print the breaks and run nothing")
    add("--jobs", type=int, default=1, help="breaks that are tried at once (1)")
    add("--results", type=Path, default=Path("mutants.jsonl"), help="where results are written")
    add("--resume", action="store_true", help="go on with what the results lack, with their seed")
    add(
        "--integration",
        default=DEFAULT_INTEGRATION,
        help=f"the command of the integration tests; '' for none ({DEFAULT_INTEGRATION})",
    )
    add(
        "--first",
        choices=("none", "unit", "all"),
        default="all",
        help="tests that have to pass without any break first; types always have to (all)",
    )
    add("--patience", type=float, default=1.0, help="factor of all time bounds (1)")
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".sql"}:
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _say(text: str) -> None:
    with _printing:
        print(text, flush=True)


def _refuse(why: str) -> int:
    print(why, file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
