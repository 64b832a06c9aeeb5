//! Built-in patterns find what they are named for, and nothing near it; bad patterns are refused.

use extract::{BUILT_IN, Patterns};

#[test]
fn built_in_patterns_find_what_they_are_named_for() {
    for (name, text, values) in [
        ("email", "Write to a.b+c@mail.example.co.uk, not @x or a@b.", vec!["a.b+c@mail.example.co.uk"]),
        ("phone_intl", "call +49 30 123456 or +1 (555) 123-4567", vec!["+49 30 123456", "+1 (555) 123-4567"]),
        ("phone_us", "(555) 123-4567, 555-123-4567; 5551234567", vec!["(555) 123-4567", "555-123-4567"]),
        (
            "url",
            "see https://a.example/x?y=1#z. (http://b.example/)",
            vec!["https://a.example/x?y=1#z", "http://b.example/"],
        ),
        ("ipv4", "10.0.0.1 and 256.1.1.1", vec!["10.0.0.1"]),
        ("ipv6", "2001:db8:0:0:0:0:0:1 2001:db8::1", vec!["2001:db8:0:0:0:0:0:1", "2001:db8::1"]),
        ("uuid", "id 123e4567-e89b-42d3-a456-426614174000!", vec!["123e4567-e89b-42d3-a456-426614174000"]),
        ("currency", "$1,234.50 and 20 € or EUR 5", vec!["$1,234.50", "20 €", "EUR 5"]),
        ("percentage", "up 4.5 % or 10%", vec!["4.5 %", "10%"]),
        ("number", "1,234,567.8 of 42", vec!["1,234,567.8", "42"]),
        ("date_iso", "2024-02-29 2024-13-01", vec!["2024-02-29"]),
        ("date_us", "on 12/31/2024, 31/12/2024", vec!["12/31/2024"]),
        ("time_24h", "at 23:59:59, 7:05, not 24:00 or 1:60", vec!["23:59:59", "7:05"]),
        ("postal_us", "94107-1234, 123456", vec!["94107-1234"]),
        ("postal_uk", "SW1A 1AA", vec!["SW1A 1AA"]),
        ("html_color_hex", "#fff #A1B2C3 #12345", vec!["#fff", "#A1B2C3"]),
        ("twitter_handle", "by @rustlang, mail a@b.example", vec!["@rustlang"]),
        ("hashtag", "#Rust and a#b and &#39;", vec!["#Rust"]),
        ("mac_addr", "00:1A:2b:3c:4d:5e", vec!["00:1A:2b:3c:4d:5e"]),
        ("iban", "DE89 3704 0044 0532 0130 00", vec!["DE89 3704 0044 0532 0130 00"]),
        (
            "credit_card",
            "4111 1111 1111 1111, 378282246310005",
            vec!["4111 1111 1111 1111", "378282246310005"],
        ),
    ] {
        let found = Patterns::parse(&[name], &[]).unwrap().find(text, 100);
        let told: Vec<&str> = found.iter().map(|found| found.value.as_str()).collect();
        assert_eq!(told, values, "{name}");
        for one in found {
            assert_eq!((one.label.as_str(), &text[one.span]), (name, one.value.as_str()));
        }
    }
    assert_eq!(BUILT_IN.len(), 21, "each has a line above");
}

#[test]
fn own_patterns_are_bounded() {
    let own = Patterns::parse(&["number"], &[("sku", r"SKU-(\d+)"), ("number", "[a-z]+")]).unwrap();
    let found = own.find("SKU-12 abc", 10);
    let told: Vec<_> = found.iter().map(|found| (found.label.as_str(), found.value.as_str())).collect();
    assert_eq!(told, [("sku", "12"), ("number", "abc")]);
    assert_eq!(own.find(&"SKU-1 ".repeat(100), 7).len(), 7);
    let long = "a".repeat(2_000);
    for (field, built_in, own) in [
        ("patterns.nonsense", vec!["nonsense"], vec![]),
        ("custom.x", vec![], vec![("x", "(")]),
        ("custom.x", vec![], vec![("x", "(?=a)b")]),
        ("custom.x", vec![], vec![("x", r"(?:\w{1000}){1000}")]),
        ("custom.x", vec![], vec![("x", long.as_str())]),
        ("custom.", vec![], vec![("", "a")]),
    ] {
        let invalid = Patterns::parse(&built_in, &own).unwrap_err();
        assert_eq!(invalid.field, field, "{invalid}");
    }
}
