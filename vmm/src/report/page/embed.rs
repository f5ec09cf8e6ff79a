//! Text and data on their way into a page, from which nothing in them can get out.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Beyond this, JavaScript's numbers are not exact.
const EXACT: u64 = (1 << 53) - 1;

/// Text between tags, or in a quoted attribute.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // HTML has no way to write it.
            '\0' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A value as JSON that may stand in a `<script>` element: there is no `<` in it, so neither `</script` nor `<!--`. Integers that
/// JavaScript would round are strings.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    exact(&mut value);
    // None of these stands outside strings in JSON, where each may be written by its number.
    let escape = |c| match c {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    };
    let plain = value.to_string();
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match escape(c) {
            Some(by_number) => escaped += by_number,
            None => escaped.push(c),
        }
    }
    escaped
}

fn exact(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let large = number.as_u64().is_some_and(|n| n > EXACT) || number.as_i64().is_some_and(|n| n.unsigned_abs() > EXACT);
            if large {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(exact),
        Value::Object(fields) => fields.values_mut().for_each(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// How a content security policy names a script or a style that it allows: nothing that got into the page by a name in some result
/// has this hash.
pub(super) fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hash = Sha256::digest(text.as_bytes());
    let base64 = hash.chunks(3).flat_map(|bytes| {
        let byte = |n: usize| u32::from(bytes.get(n).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        (0..4).map(move |n| if n <= bytes.len() { DIGITS[(group >> (18 - 6 * n) & 63) as usize] as char } else { '=' })
    });
    format!("sha256-{}", base64.collect::<String>())
}

/// A template with `{{name}}` replaced. What comes in is not looked at again, whatever it looks like.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page += before;
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page += values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        rest = after;
    }
    page + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(text("<b a=\"1\" b='2'>&\0"), "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn no_string_ends_its_element_and_all_are_the_same_when_read() {
        let nasty = "</script><script>alert(1)</script><!-- <![CDATA[ \u{2028}\u{2029} \\u003c & \" \u{1f980}";
        let written = json(&value!({ nasty: [nasty] }));
        assert!(!written.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{written}");
        assert_eq!(serde_json::from_str::<Value>(&written).expect("valid JSON"), value!({ nasty: [nasty] }));
    }

    #[test]
    fn large_integers_keep_every_digit() {
        let written = json(&value!([u64::MAX, EXACT, EXACT + 1, i64::MIN, -1, 1.5]));
        assert_eq!(written, r#"["18446744073709551615",9007199254740991,"9007199254740992","-9223372036854775808",-1,1.5]"#);
    }

    #[test]
    fn hashes_are_those_that_browsers_come_to() {
        // From `printf abc | openssl dgst -sha256 -binary | base64`.
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        assert_eq!(fill("a {{x}} b {{y}}{{z}} c", &[("x", "{{y}}"), ("y", "2")]), "a {{y}} b 2 c");
        assert_eq!(fill("{{x", &[("x", "1")]), "1");
    }
}
