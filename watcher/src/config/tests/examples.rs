//! Every example of docs/rules.md is what it says: a configuration, or a map of values, without a mistake.

use super::super::{declared, parse};

#[test]
fn every_example_of_the_rules_has_no_mistake() {
    let text = include_str!("../../../../docs/rules.md");
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3, "found {} examples", examples.len());
    for example in examples {
        let read = parse("docs/rules.md", example);
        if let Err(problems) = &read {
            panic!("{}", problems.render(false));
        }
        // The configuration's own section and a file of values are one language.
        if example.starts_with("declared:") {
            declared(&"s".into(), &"f".into(), example).unwrap();
        }
    }
}
