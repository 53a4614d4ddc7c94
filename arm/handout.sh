#!/usr/bin/env bash
# Prints the instructor's hand-out, the READMEs of the two kits, as a PDF on A4: by cmark-gfm and
# headless Chromium of the distribution. The pages need no network.
#
#   handout.sh [PDF]       default: bin/handout.pdf
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/../bin/handout.pdf}")

die() { echo "handout: $*" >&2; exit 1; }

"$here/setup.sh" cmark-gfm=cmark-gfm chromium=chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")"

# part FILE: its text as HTML. A link into the repository is of no use on paper: its text stays.
part() { cmark-gfm -e table "$1" | sed -E 's,<a href="(\.\./|[a-z-]+/|\.)[^"]*">([^<]*)</a>,\2,g'; }

{
  cat <<'HTML'
<!doctype html><html lang="en"><meta charset="utf-8"><title>The workshop's kits: a hand-out for the instructor</title>
<style>
@page { size: A4; margin: 16mm 15mm 18mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt "DejaVu Sans", sans-serif; color: #555; } }
body { font: 9.5pt/1.4 "DejaVu Sans", sans-serif; color: #111; margin: 0; }
h1 { font-size: 18pt; margin: 0 0 4mm; border-bottom: 1.5pt solid #111; padding-bottom: 1mm; }
h2 { font-size: 12.5pt; margin: 6mm 0 2mm; }
h1, h2, h3 { break-after: avoid; }
section + section { break-before: page; }
p, li { orphans: 3; widows: 3; }
table { border-collapse: collapse; width: 99.4%; margin: 2mm 0; }
td, th { border: .4pt solid #888; padding: 1mm 1.6mm; vertical-align: top; text-align: left; }
th { background: #eee; }
tr { break-inside: avoid; }
code { font: 8.4pt "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
td:first-child code { overflow-wrap: normal; }
pre, pre code { font-size: 7.3pt; } pre { background: #f4f4f4; border: .4pt solid #bbb; padding: 2mm; white-space: pre-wrap; break-inside: avoid; }
a { color: inherit; }
</style>
HTML
  for readme in "$here/README.md" "$here/../vagrant/README.md"; do
    echo "<section>"
    part "$readme"
    echo "</section>"
  done
} >"$work/handout.html"
# Chromium keeps no profile, and root has no sandbox for it; the page is our own.
HOME=$work chromium --headless --no-sandbox --disable-gpu --no-pdf-header-footer --user-data-dir="$work/profile" \
  --print-to-pdf="$work/handout.pdf" "file://$work/handout.html" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "chromium failed"; }
[ -s "$work/handout.pdf" ] || die "chromium wrote no PDF"
mv "$work/handout.pdf" "$out"
echo "handout: $out: $(du -h "$out" | cut -f1)"
