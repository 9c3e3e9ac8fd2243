# shellcheck shell=bash
# Who stands around an enclave in scripts/demo and scripts/ec2-check: people, a witness, the key service with its log. Sourced
# after story.sh, in its folder.

# SSH keys for people, in people/.
people() { # PERSON...
    mkdir -p people
    local person
    for person in "$@"; do ssh-keygen -q -t ed25519 -N '' -C "$person" -f "people/$person"; done
}

# Configures the key service, starts a witness of its log, and sets service_key, log_key and witness_key.
deployment_service() { # ORIGIN [LINE...]      LINE: more of service.toml's first section
    local origin="$1"
    shift
    {
        [ "$#" -eq 0 ] || printf '%s\n' "$@"
        cat <<TOML
[storage]
database = "keys.sqlite"
root_key = "root.key"
static_key = "static.key"
log_key = "log.key"
[listen]
keys = ["unix:keys.sock"]
administration = "unix:administration.sock"
policy = ["unix:policy.sock"]
submissions = "unix:submissions.sock"
log = ["unix:$folder/log.sock"]
http = "127.0.0.1:0"
[ledger.witnesses]
"customer.example/witness" = "unix:$folder/witness.sock"
[log]
format = "text"
TOML
    } >service.toml
    service_key="$(narthex-key-service static-key --config service.toml 2>>quiet.log)"
    log_key="$(narthex-key-service log-key --config service.toml --origin "$origin" 2>>quiet.log)"
    witness_key="$(narthex log witness-key --name customer.example/witness --out witness.key 2>>quiet.log)"
    start witness narthex log witness --key witness.key --log "$log_key" --listen "unix:$folder/witness.sock"
    await witness.log 'witness listens on'
}

# The first bundle: three reviewers of whom two must agree, an operator, a key administrator, an auditor; signed by alice and bob.
deployment_policy() { # PROJECT
    narthex policy init policy --project "$1" --service-key "$service_key" \
        --log "$log_key" --witness "$witness_key" --log-reader erin=people/erin.pub \
        --reviewer alice=people/alice.pub --reviewer bob=people/bob.pub --reviewer carol=people/carol.pub \
        --operator olga=people/olga.pub --key-administrator kim=people/kim.pub >>quiet.log 2>&1
    # A restart needs a second person, and time: counted from the second in which the customer's witness saw the order. Of one second
    # nothing may be left when the order is back.
    sed -i 's/^delay = .*/delay = "3s"/' policy/bundles/0001.toml
    sign policy policy/bundles/0001.toml alice bob
}

# Starts the service under the first bundle.
deployment_start() {
    narthex-key-service init --config service.toml --genesis policy/bundles/0001.toml \
        --signature policy/bundles/0001.toml.alice.sig --signature policy/bundles/0001.toml.bob.sig >>quiet.log 2>&1
    start service narthex-key-service run --config service.toml
    await service.log 'serving'
}

# Makes a key that nobody has seen, and sets commitment.
deployment_key() { # NAME
    keys create "$1" >>quiet.log 2>&1
    commitment="$(keys list --json 2>>quiet.log | sed -n 's/.*"commitment": "\([0-9a-f]*\)".*/\1/p')"
}

# Bundle 2, with one key rule, signed by alice and carol.
deployment_rule() { # KEY RELEASE LINE      LINE: whose enclaves get it
    narthex policy next policy >>quiet.log 2>&1
    cat >>policy/bundles/0002.toml <<TOML

[[key]]
name = "$1"
releases = ["$2"]
$3
commitments = [{ version = 1, sha384 = "$commitment" }]
TOML
    sign policy policy/bundles/0002.toml alice carol
}

keys() { narthex keys "$@" --policy policy --service unix:administration.sock --as kim --key people/kim; }
deliver() { narthex policy submit policy --service unix:administration.sock >>quiet.log 2>&1; }
order() { narthex order new --policy policy --as olga --key people/olga "$@" >>quiet.log 2>&1; }
delay_over() { sleep 4; } # Clocks of enclaves may be a little behind.
submit() { narthex order submit "$@" --policy policy --service unix:submissions.sock; }
