#!/usr/bin/env bash
# Prints each deck as a PDF, one slide a page, and the hand-out, by the distribution's headless Chromium. Before that it
# checks in the browser, at 1280x720, that everything fits on its slide.
#
#   print.sh [DIRECTORY]       default: bin/slides
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
out=$(realpath -m "${1:-$top/bin/slides}")

die() { echo "slides: $*" >&2; exit 1; }

"$top/arm/setup.sh" cmark-gfm=cmark-gfm chromium=chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
mkdir -p "$out"

# Chromium keeps no profile, and root has no sandbox for it; the pages are our own.
browser() {
  HOME=$work timeout 180 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" --window-size=1280,720 "$@" 2>"$work/log" ||
    { tail -n 5 "$work/log" >&2; die "chromium failed"; }
}

# print FILE ADDRESS
print() {
  browser --no-pdf-header-footer --print-to-pdf="$work/page.pdf" "$2" >/dev/null
  [ -s "$work/page.pdf" ] || die "chromium wrote no PDF of $2"
  mv "$work/page.pdf" "$out/$1"
}

"$top/bin/wheelhouse" slides --labs "$top" --listen 127.0.0.1:0 >"$work/address" &
server=$!
until [ -s "$work/address" ]; do
  kill -0 "$server" 2>/dev/null || die "wheelhouse slides has ended"
  sleep 0.1
done
address=$(cat "$work/address")

faults=0
for deck in "$here"/*/deck*.md; do
  track=$(basename "$(dirname "$deck")")
  lang=$(basename "$deck" .md)
  lang=${lang#deck}
  lang=${lang#.}
  slides=$(awk '/^```/ { block = !block } !block && /^---$/ { n++ } END { print n - 1 }' "$deck")
  page=$(browser --virtual-time-budget=20000 --dump-dom "$address$track/?check&lang=${lang:-en}")
  [[ $page == *"data-checked=\"$slides\""* ]] || die "$track: the browser has not checked $slides slides"
  overflow=$(grep -o 'data-overflow="[^"]*"' <<<"$page") || die "$track: the browser says nothing of what fits"
  overflow=$(cut -d'"' -f2 <<<"$overflow")
  [ -z "$overflow" ] || { echo "slides: $track${lang:+ ($lang)}: does not fit: $overflow" >&2; faults=1; }
  print "$track${lang:+.$lang}.pdf" "$address$track/?lang=${lang:-en}"
  pages=$(grep -a -c '/Type /Page$' "$out/$track${lang:+.$lang}.pdf" || true)
  [ "$pages" = "$slides" ] || { echo "slides: $track${lang:+ ($lang)}: $pages pages for $slides slides" >&2; faults=1; }
  echo "slides: $out/$track${lang:+.$lang}.pdf: $slides slides, $(du -h "$out/$track${lang:+.$lang}.pdf" | cut -f1)"
done

if [ -f "$here/handout.md" ]; then
  {
    cat "$here/handout.head.html"
    cmark-gfm -e table "$here/handout.md"
  } >"$work/handout.html"
  print handout.pdf "file://$work/handout.html"
  echo "slides: $out/handout.pdf: $(du -h "$out/handout.pdf" | cut -f1)"
fi
exit $faults
