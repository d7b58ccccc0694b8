# Looks the key up below the runner's cache (read-only here), unpacks it, and notes what is to be kept when the job ends well.
set -euo pipefail
shopt -s nullglob
cd "$GITHUB_WORKSPACE"
hash() { sha256sum | cut -c1-32; }
paths="$(printf '%s\n' "$PATHS" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d')"
kind="$(printf %s "$paths" | hash | cut -c1-12)"
exact="$kind-$(printf %s "$KEY" | hash)"
found="" matched=""
if [ -d "$QCITY_CACHE/$exact" ]; then
  found="$QCITY_CACHE/$exact" matched="$KEY"
else
  kept=("$QCITY_CACHE/$kind-"*)
  while [ ${#kept[@]} -gt 0 ] && IFS= read -r beginning && [ -z "$found" ]; do
    [ -n "$beginning" ] || continue
    for one in $(ls -dt -- "${kept[@]}" | sed 's#.*/##'); do
      key="$(cat "$QCITY_CACHE/$one/key")"
      if [ "${key#"$beginning"}" != "$key" ]; then found="$QCITY_CACHE/$one" matched="$key"; break; fi
    done
  done < <(printf '%s\n' "$OTHERS" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
fi
hit=false
[ "$matched" = "$KEY" ] && [ -n "$found" ] && hit=true
if [ -n "$found" ]; then echo "cache-hit=$hit" >>"$GITHUB_OUTPUT"; fi
echo "cache-matched-key=$matched" >>"$GITHUB_OUTPUT"
if [ -z "$found" ]; then
  echo "cache: nothing is kept under \"$KEY\""
  [ "$MUST" != true ] || { echo "::error::nothing is kept under the key \"$KEY\""; exit 1; }
elif [ "$LOOK" != true ]; then
  [ ! -f "$found/workspace.tar" ] || tar -xf "$found/workspace.tar" -C "$GITHUB_WORKSPACE"
  [ ! -f "$found/home.tar" ] || tar -xf "$found/home.tar" -C "$HOME"
  echo "cache: restored \"$matched\""
fi
if [ "$KEEP" = yes ] && [ "$hit" = false ] && [ "$LOOK" != true ]; then
  wanted="$(mktemp -d "$QCITY_OUT/wanted.XXXXXX")"
  printf %s "$KEY" >"$wanted/key"
  printf '%s\n' "$paths" >"$wanted/paths"
  cp "$(dirname "$0")/save.sh" "$QCITY_OUT/save.sh"
fi
