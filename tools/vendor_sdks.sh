#!/usr/bin/env bash
# Makes .venv-sdk/NAME for each vendor SDK that tests/sim_bus/test_vendor_sdks.py drives the virtual
# buses with. Two of them share the import name scservo_sdk, so each has an environment of its own.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for package in feetech-servo-sdk==1.0.0 ftservo-python-sdk==2.0.1 rustypot==1.13.1 dynamixel-sdk==4.1.0; do
    tools/setup.sh ".venv-sdk/${package%%==*}" "3.11 3.12 3.10" "$package"
done
