"""The workflow of a study: one YAML file names it, Snakemake orders its jobs, each job executes one notebook."""

import sys

# jsonschema checks internationalised addresses with this package if it is there, and building its grammar takes one
# to two seconds in every process that imports jsonschema (Snakemake, papermill, nbconvert). No schema here holds any.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
