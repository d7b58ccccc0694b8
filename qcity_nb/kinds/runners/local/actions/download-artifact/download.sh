# Copies artifacts from the build's folder, and from this job's own, into the workspace.
set -euo pipefail
shopt -s nullglob
cd "$GITHUB_WORKSPACE"
case "$PLACE" in "") place="$PWD" ;; "~"*) place="$HOME${PLACE#\~}" ;; /*) place="$PLACE" ;; *) place="$PWD/$PLACE" ;; esac
mkdir -p "$place"
echo "download-path=$place" >>"$GITHUB_OUTPUT"
declare -A from=()
for folder in "$QCITY_ARTIFACTS"/*/ "$QCITY_OUT/artifacts"/*/; do folder="${folder%/}"; from["${folder##*/}"]="$folder"; done
if [ -n "$NAME" ]; then
  if [ -z "${from["$NAME"]:-}" ]; then
    echo "::error::there is no artifact \"$NAME\" in this build; there are: $(printf '%s ' "${!from[@]}")"
    exit 1
  fi
  cp -r -- "${from["$NAME"]}/." "$place/"
  chmod -R u+w "$place"
  exit 0
fi
for name in "${!from[@]}"; do
  [ -z "$PATTERN" ] || [[ "$name" == $PATTERN ]] || continue
  into="$place/$name"
  [ "$MERGE" = true ] && into="$place"
  mkdir -p "$into"
  cp -r -- "${from["$name"]}/." "$into/"
  chmod -R u+w "$into"
done
