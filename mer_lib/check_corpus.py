"""Check a corpus before anything is computed: python -m mer_lib.check_corpus FOLDER

FOLDER is one of your own (see ``data/README.md``), or "etudes" or "soundtracks". First the tables are read, then every
file is decoded; what is wrong is named all at once, and nothing is written.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import argparse
import os
import sys

from mer_lib.dataset import CorpusError, load_corpus
from mer_lib.preparation import check_audio


def main(arguments: list[str] | None = None) -> int:
    """Check the corpus that the command line names; 0 if it can be prepared, else 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="etudes, soundtracks, or the folder of your own corpus")
    parser.add_argument("--data", default="data", help="folder of the corpora (default: data)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="files decoded at once (default: all cores)"
    )
    given = parser.parse_args(arguments)
    try:
        corpus = load_corpus(given.corpus, given.data)
        check_audio(corpus, max(1, given.workers), progress=sys.stderr.isatty())
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 2
    groups = corpus.table["group"].nunique()
    print(
        f"{corpus.name}: {len(corpus)} clips in {groups} groups, all decoded; mid-level values: {corpus.midlevel_kind}"
    )
    print("\n".join(corpus.notes) or "nothing to note")
    return 0


if __name__ == "__main__":
    sys.exit(main())
