# Sourced by the scripts that run the documentation's commands and samples.

# Prints the block that follows the marker "<!-- SCRIPT: NAME -->" in a document of the repository, where SCRIPT is the
# script that runs it: block DOCUMENT NAME.
block() {
  awk -v marker="<!-- tests/$(basename "$0"): $2 -->" '
    $0 == marker { found = 1; next }
    found && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }
  ' "$root/$1" | grep . || { echo "$1 has no block after \"<!-- tests/$(basename "$0"): $2 -->\"" >&2; exit 1; }
}
