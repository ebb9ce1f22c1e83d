//! Who may call: what the lists of `webhook:` may say, and what not.

use super::{super::Callers, good, mistakes::check};

#[track_caller]
fn callers(fields: &str) -> Callers {
    good(&format!("webhook: {{listen: \"0.0.0.0:8443\", secrets: /a{fields}}}")).webhook.unwrap().callers
}

#[test]
fn anybody_may_try_and_no_proxy_is_believed_where_nothing_is_said() {
    assert_eq!(callers(""), Callers { allow: None, proxies: Vec::new() });
}

#[test]
fn addresses_and_networks_are_taken_alone_and_as_a_list() {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let found = callers(", allow: [192.0.2.7, 10.0.0.0/8, \"2001:db8::/32\", \"::1\"], proxies: 127.0.0.1");
    let allow = networks(&["192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32", "::1/128"]);
    assert_eq!(found, Callers { allow: Some(allow), proxies: networks(&["127.0.0.1/32"]) });
    let mapped = callers(", allow: \"::ffff:192.0.2.7\"");
    assert_eq!(mapped.allow, Some(networks(&["192.0.2.7/32"])), "one address has one spelling");
}

#[test]
fn what_is_no_address_and_no_network_is_told_with_what_was_meant() {
    const WANTED: &str =
        "wanted an address or a network, as in `192.0.2.7`, `10.0.0.0/8` or `\"2001:db8::/32\"`";
    let section = |field: &str| format!("webhook:\n  listen: 0.0.0.0:8443\n  secrets: /a\n  {field}\n");
    for (field, column, found) in [
        ("allow: example.org", 10, "`example.org`"),
        ("allow: 10.0.0.0/33", 10, "`10.0.0.0/33`"),
        ("allow: 10.0.0.1:80", 10, "`10.0.0.1:80`"),
        ("proxies: 10.0.0", 12, "`10.0.0`"),
        ("proxies: [10.0.0.1, \"*\"]", 23, "`*`"),
    ] {
        check(&section(field), &format!("4:{column} found {found}, {WANTED} | an address and not a name"));
    }
    check(
        &section("allow: 10.1.2.3/8"),
        "4:10 found `10.1.2.3/8`, wanted a network whose address ends where its prefix does | `10.0.0.0/8` for the \
         network, `10.1.2.3` for the one address",
    );
    check(
        &section("allow: []"),
        "4:10 found an empty list, wanted at least one address or network | leave the field out",
    );
    check(&section("proxies:"), &format!("4:3 found nothing, {WANTED}"));
}
