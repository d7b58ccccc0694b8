# Copies what the patterns select to the artifact's folder; the root of the artifact is what all patterns have in common, as on GitHub.
set -euo pipefail
shopt -s globstar nullglob
[ "$HIDDEN" = true ] && shopt -s dotglob
fail() { echo "::error::$1"; exit 1; }
case "$NAME" in "" | .* | *[/\\:\<\>\|\*\?\"]*) fail "\"$NAME\" is not a name for an artifact" ;; esac
target="$QCITY_OUT/artifacts/$NAME"
if [ -e "$target" ]; then
  [ "$OVERWRITE" = true ] || fail "this job has an artifact \"$NAME\" already"
  rm -rf "$target"
fi
cd "$GITHUB_WORKSPACE"
absolute() { case "$1" in "~"*) printf %s "$HOME${1#\~}" ;; /*) printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac; }
expand() { # a name that exists as it stands, else what the pattern gives
  local IFS=
  if [ -e "$1" ]; then found=("$1"); return; fi
  found=($1)
  if [ "${found[*]-}" = "$1" ]; then found=(); fi
}
common="" files=()
declare -A out=()
include=() exclude=()
while IFS= read -r line; do
  line="${line#"${line%%[![:space:]]*}"}"; line="${line%"${line##*[![:space:]]}"}"
  [ -n "$line" ] || continue
  case "$line" in "!"*) exclude+=("$(absolute "${line#!}")") ;; *) include+=("$(absolute "$line")") ;; esac
done <<<"$PATHS"
[ ${#include[@]} -gt 0 ] || fail "no path is given for the artifact \"$NAME\""
every() { # the files of what a pattern selects, one a line, ended by NUL
  expand "$1"
  for one in ${found[@]+"${found[@]}"}; do
    if [ -d "$one" ]; then
      if [ "$HIDDEN" = true ]; then find -L "${one%/}" -type f -print0; else find -L "${one%/}" -mindepth 1 -name '.*' -prune -o -type f -print0; fi
    else
      printf '%s\0' "$one"
    fi
  done
}
for pattern in ${exclude[@]+"${exclude[@]}"}; do
  while IFS= read -r -d '' file; do out["$file"]=1; done < <(every "$pattern")
done
for pattern in "${include[@]}"; do
  base="${pattern%%[\*\?\[]*}"
  if [ "$base" != "$pattern" ]; then base="${base%/*}"; elif [ -d "$base" ]; then base="${base%/}"; else base="${base%/*}"; fi
  if [ -z "$common" ]; then common="$base"; fi
  while [ "$base/" != "$common/" ] && [ "${base#"$common"/}" = "$base" ]; do common="${common%/*}"; done
  while IFS= read -r -d '' file; do [ -n "${out["$file"]:-}" ] || files+=("$file"); done < <(every "$pattern")
done
if [ ${#files[@]} -eq 0 ]; then
  case "$NONE" in
    error) fail "no files were found for the artifact \"$NAME\" with the path: ${PATHS//$'\n'/ }" ;;
    ignore) exit 0 ;;
    *) echo "::warning::no files were found for the artifact \"$NAME\" with the path: ${PATHS//$'\n'/ }"; exit 0 ;;
  esac
fi
mkdir -p "$target"
for file in "${files[@]}"; do
  inside="${file#"$common"/}"
  case "$inside" in */*) mkdir -p "$target/${inside%/*}" ;; esac
  cp -L -- "$file" "$target/$inside"
done
echo "artifact \"$NAME\": ${#files[@]} files"
