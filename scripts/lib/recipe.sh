# shellcheck shell=bash
# The example's recipe: what scripts fill in, and how records of images are compared. Sourced.

# The tools that leave traces in what is built, one a line: NAME<tab>VERSION.
recipe_toolchain() {
    printf 'rustc\t%s\n' "$(rustc --version)"
    printf 'gcc\t%s\n' "$(gcc --version | head -n 1)"
    printf 'libc6-dev\t%s\n' "$(dpkg-query --show --showformat '${Version}' libc6-dev 2>/dev/null || ldd --version | head -n 1)"
    printf 'binutils\t%s\n' "$(ld --version | head -n 1)"
}

# Prints RECIPE with the digests of the files in FOLDER and the tools of this machine.
recipe_fill() { # RECIPE FOLDER
    recipe_toolchain | python3 -c '
import hashlib, json, re, sys
recipe, folder = sys.argv[1:]
with open(recipe, encoding="utf-8") as file:
    text = file.read()
def put(section, name, value):
    global text
    pattern = rf"(^\[{section}\]\n(?:(?!\[).*\n)*?{re.escape(name)} = )\"[^\"]*\""
    text, count = re.subn(pattern, lambda found: found.group(1) + json.dumps(value), text, count=1, flags=re.M)
    if count != 1:
        sys.exit(f"{recipe}: no {name} in [{section}]")
for section, name in [("kernel", "bzImage"), ("agent", "narthex-agent")]:
    with open(f"{folder}/{name}", "rb") as file:
        put(section, "sha256", hashlib.sha256(file.read()).hexdigest())
for line in sys.stdin:
    put("toolchain", *line.rstrip("\n").split("\t", 1))
sys.stdout.write(text)' "$1" "$2"
}

# Names the tools that are not those that RECIPE records; fails if there is one.
recipe_toolchain_differences() { # RECIPE
    recipe_toolchain | python3 -c '
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    recorded = tomllib.load(file)["toolchain"]
different = 0
for line in sys.stdin:
    name, here = line.rstrip("\n").split("\t", 1)
    if recorded.get(name) != here:
        different = 1
        print(f"  {name}: recorded with {recorded.get(name)}; this machine has {here}")
sys.exit(different)' "$1"
}

# Whether two manifests are of the same image: its bytes, not how they are described.
recipe_same_image() { # MANIFEST MANIFEST
    python3 -c '
import json, sys
def image(path):
    with open(path, encoding="utf-8") as file:
        statement = json.load(file)
    return [subject["digest"] for subject in statement["subject"]], statement["predicate"]["measurements"]
sys.exit(image(sys.argv[1]) != image(sys.argv[2]))' "$1" "$2"
}

# Puts PROJECT, LOG and reviewers in the place of a recipe's example keys, in the file itself.
recipe_trust() { # RECIPE PROJECT LOG NAME=PUBLIC-KEY-FILE...
    python3 -c '
import json, re, sys
recipe, project, log, *reviewers = sys.argv[1:]
with open(recipe, encoding="utf-8") as file:
    text = file.read()
begin = text.index("# EXAMPLE KEYS.")
end = text.index("# CID 3 is the parent")
trust = f"[settings.trust]\nproject = {json.dumps(project)}\nthreshold = 2\nminimum_bundle_version = 2\nlog = {json.dumps(log)}\n\n"
for reviewer in reviewers:
    name, _, path = reviewer.partition("=")
    with open(path, encoding="utf-8") as file:
        key = " ".join(file.read().split()[:2])
    trust += f"[[settings.trust.reviewer]]\nname = {json.dumps(name)}\nkeys = [{json.dumps(key)}]\n\n"
with open(recipe, "w", encoding="utf-8") as file:
    file.write(text[:begin] + trust + text[end:])' "$@"
}
