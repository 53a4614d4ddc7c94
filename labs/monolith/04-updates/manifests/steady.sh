# A client that never rests: bash steady.sh ADDRESS FILE
# It asks ten times a second, and keeps count in FILE of what was answered and what was not.
answered=0 lost=0
while sleep 0.1; do
  if curl -s -f -m 5 -o /dev/null "$1"; then
    answered=$((answered + 1))
  else
    lost=$((lost + 1))
  fi
  echo "$answered answered, $lost lost" >"$2"
done
