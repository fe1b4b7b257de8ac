# What the scripts of this folder share: sourced, with ATROUS set to the program. Makes $work, a folder that is
# gone at the end, and moves there.
atrous=$(realpath "${1:?usage: $0 ATROUS}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
chmod 755 "$work"
cleanup() { :; }
trap 'status=$?; cleanup; rm -rf "$work"; exit $status' EXIT
cd "$work"
export OMP_NUM_THREADS=1
python=/usr/bin/python3

# draw COUNT SIDE: the dataset that all runs are of, and the options of a run.
draw() {
  "$python" "$here/dataset.py" set "$1" "$2"
  options="--threads 1 --no-resize --dataset pairs $work/set/photos $work/set/labels --classes $work/set/names.txt"
  model=seeded:lraspp_mobilenet_v3_large
}

# same A.json B.json: all numbers but the seconds are the same, to the last digit.
same() {
  "$python" - "$1" "$2" <<'PYTHON'
import json
import sys

def numbers(path):
    with open(path, encoding="utf-8") as file:
        all = json.load(file)
    assert all.pop("seconds") > 0
    for image in all["per_image"]:
        image.pop("seconds")
    return all

a, b = map(numbers, sys.argv[1:])
if a != b:
    sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ in " + ", ".join(key for key in a if a[key] != b.get(key)))
PYTHON
}
