//! YAML and JSON text: never a panic, never past the limits; what is read comes back the same after it was written.
#![no_main]

use build_runner::yaml::{self, Dialect, Limits};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const LIMITS: Limits = Limits { bytes: 64 << 10, nodes: 5_000, depth: 50, documents: 20 };

fuzz_target!(|text: &str| {
    for dialect in [Dialect::Core, Dialect::Go] {
        if let Err(error) = yaml::parse_with(text, dialect, LIMITS) {
            assert!(!error.to_string().is_empty());
        }
    }
    let Ok(json) = yaml::parse_json(text, LIMITS) else { return };
    let value = json.to_json();
    let written = yaml::to_string(&value);
    let read = yaml::parse_value(&written, Dialect::Go).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert!(same(&read, &value), "{value} became {read}\n{written}");
});

/// Equal, but that Go writes 2e2 as 200.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}
