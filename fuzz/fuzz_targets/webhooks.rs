//! Deliveries with arbitrary methods, headers and bodies: accepted if and only if the signature is right.
#![no_main]

#[path = "../webhooks.rs"]
mod webhooks;
#[path = "../../tests/it/support/signing.rs"]
mod signing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    webhooks::judge(bytes, &signing::sign);
});
