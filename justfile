# `just` lists what there is; each is one line that can be typed by hand as well.

_list:
    @just --list --unsorted

# The whole check, as CI runs it.
test:
    ./scripts/test

# Format, lints, unit and architecture tests: a minute, nothing installed.
quick:
    ./scripts/test quick

# The tests whose name contains TEXT.
t TEXT:
    cargo nextest run {{ TEXT }}

# lockstep at work on the example, until Ctrl-C. `just demo --consul` has real Consuls.
demo *ARGS:
    ./scripts/demo {{ ARGS }}

# Format the code.
fmt:
    cargo fmt

# Licences, advisories and banned crates, as CI judges them.
deny:
    ./scripts/test deny

# A newer advisory database; needs the network.
refresh-advisories:
    ./scripts/refresh-advisories
