# Finds a Node on PATH that fits and puts its folder first.
set -euo pipefail
if [ -z "$WANTED" ] && [ -n "$FILE" ]; then WANTED="$(sed -n '/[0-9]/{s/^[^0-9]*//;p;q}' "$GITHUB_WORKSPACE/$FILE")"; fi
plain="${WANTED//[[:space:]]/}"; plain="${plain#v}"; plain="${plain%%.x*}"; plain="${plain%%.\*}"; plain="${plain#^}"; plain="${plain#\~}"
case "$plain" in "lts/"* | latest | current | node | "*" | x) plain="" ;; esac
there=() found=""
IFS=: read -r -a folders <<<"$PATH"
for folder in "${folders[@]}"; do
  [ -x "$folder/node" ] || continue
  version="$("$folder/node" --version 2>/dev/null)" || continue
  version="${version#v}"
  there+=("$version")
  case "$plain" in
    ">="*) [ "$(printf '%s\n%s\n' "${plain#>=}" "$version" | sort -V | head -1)" = "${plain#>=}" ] && found="$folder" ;;
    "") found="$folder" ;;
    *) case "$version." in "$plain".*) found="$folder" ;; esac ;;
  esac
  [ -z "$found" ] || break
done
if [ -z "$found" ]; then
  echo "::error::Node $WANTED is not on this machine; there is: ${there[*]:-none}"
  exit 1
fi
echo "$found" >>"$GITHUB_PATH"
echo "node-version=v$version" >>"$GITHUB_OUTPUT"
echo "Node $version"
