#!/usr/bin/env bash
# Installs the package for each interpreter from 3.10 to 3.13 that this machine has, in a virtual
# environment of its own, and runs tests/smoke.py there. Prints a line for each, and for those that
# are missing. Then, with the oldest of them, all that the package and its extras `cli` may be
# installed with at the least, and tests of what uses that.
#
#   scripts/other_interpreters.sh
#
# Kernels do not see Python: with ccache, only the bindings are compiled for each, unoptimised unless
# it is the interpreter that the package was installed for.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An interpreter of this version that can make environments: in the PATH, or pyenv's newest.
find_python() {
    local version=$1 candidate
    local -a candidates=("$(command -v "python$version" || true)")
    mapfile -t -O 1 candidates < <(
        compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version" | sort -rV
    )
    for candidate in "${candidates[@]}"; do
        # What pyenv puts into the PATH is there whether or not it has the interpreter.
        [[ -n $candidate ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue
        echo "$candidate"
        return
    done
}

# Tests of what the extras' packages are for: typer, rich, gguf, tokenizers, jinja2, platformdirs.
readonly OLDEST_TESTS=(
    tests/test_{chat,cli,extract,formats,gguf,inspect,models,qtensor,quantize_command}.py
    tests/test_{special,tokenizer}.py
)

# The package as a wheel for this interpreter, installed with nothing but what it requires.
smoke() {
    local version=$1 python=$2
    local -a quickly=(--config-settings cmake.define.QK_BINDINGS_OPTIMISATION=-O0)
    [[ $(python -c 'import sys; print("%d.%d" % sys.version_info[:2])') != "$version" ]] || quickly=()
    "$python" -m venv "$work/$version"
    "$work/$version/bin/python" -m pip wheel --no-deps "${quickly[@]}" \
        --wheel-dir "$work/wheels/$version" .
    "$work/$version/bin/python" -m pip install "$work/wheels/$version/"*.whl
    echo "python$version: $("$work/$version/bin/python" tests/smoke.py)"
}

# Two at once: an environment is made by one processor, and so is a link.
oldest=
jobs=()
for version in 3.10 3.11 3.12 3.13; do
    python=$(find_python "$version")
    if [[ -z $python ]]; then
        echo "python$version: not on this machine"
        continue
    fi
    oldest=${oldest:-$version}
    smoke "$version" "$python" &
    jobs+=($!)
    ((${#jobs[@]} < 2)) || wait "${jobs[-2]}"
done

if [[ -z $oldest ]]; then
    echo "no interpreter from 3.10 to 3.13"
    exit 1
fi
wait "${jobs[-1]}"

python scripts/requirements.py --oldest cli >"$work/oldest.txt"
"$work/$oldest/bin/python" -m venv "$work/oldest"
"$work/oldest/bin/python" -m pip install -r "$work/oldest.txt" "$work/wheels/$oldest/"*.whl \
    pytest pytest-timeout pytest-xdist hypothesis ml-dtypes
"$work/oldest/bin/python" tests/smoke.py
# Old releases warn of what newer ones of others will drop.
"$work/oldest/bin/python" -m pytest -q -W default::DeprecationWarning "${OLDEST_TESTS[@]}"
