# Packs what the notes of restore.sh ask for; the worker takes the packs after a green job.
set -uo pipefail
shopt -s nullglob globstar dotglob
hash() { sha256sum | cut -c1-32; }
for wanted in "$QCITY_OUT"/wanted.*/; do
  paths="$(sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' "$wanted/paths")"
  place="$QCITY_OUT/cache/$(printf %s "$paths" | hash | cut -c1-12)-$(hash <"$wanted/key")"
  rm -rf "$place"
  workspace=() home=()
  while IFS= read -r path; do
    case "$path" in "~/"*) base="$HOME" path="${path#\~/}" ;; "$HOME"/*) base="$HOME" path="${path#"$HOME"/}" ;; /*) echo "::warning::cache: $path is outside of the workspace and the home"; continue ;; *) base="$GITHUB_WORKSPACE" ;; esac
    cd "$base" || continue
    IFS=; found=($path); unset IFS
    for one in ${found[@]+"${found[@]}"}; do
      [ -e "$one" ] || continue
      if [ "$base" = "$HOME" ]; then home+=("./$one"); else workspace+=("./$one"); fi
    done
  done <<<"$paths"
  [ $((${#workspace[@]} + ${#home[@]})) -gt 0 ] || continue
  mkdir -p "$place"
  cp "$wanted/key" "$place/key"
  [ ${#workspace[@]} -eq 0 ] || tar -cf "$place/workspace.tar" -C "$GITHUB_WORKSPACE" -- "${workspace[@]}"
  [ ${#home[@]} -eq 0 ] || tar -cf "$place/home.tar" -C "$HOME" -- "${home[@]}"
  rm -rf "$wanted"
done
exit 0
