//! Every example of docs/rules.md and docs/remedies.md is a configuration, or a map of values, without a mistake; that those
//! of docs/rules.md mean what they say, `sources` holds. The rules of docs/incident.md are those that its scenario runs.

use super::super::{declared, parse, rules::FIELDS};

const RULES: &str = include_str!("../../../../docs/rules.md");
const REMEDIES: &str = include_str!("../../../../docs/remedies.md");

fn examples() -> Vec<&'static str> {
    let blocks = [RULES, REMEDIES].into_iter().flat_map(|text| text.split("```yaml\n").skip(1));
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_field_of_a_rule_is_explained_and_has_an_example() {
    for field in FIELDS {
        assert!(RULES.contains(&format!("`{field}`")), "`{field}` is not explained");
        let used = examples().iter().any(|example| example.contains(&format!(" {field}: ")));
        assert!(used, "`{field}` has no example");
    }
}

#[test]
fn every_example_of_the_rules_has_no_mistake() {
    let examples = examples();
    assert!(examples.len() >= 11, "found {} examples", examples.len());
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

#[test]
fn the_rules_of_the_incident_are_those_that_its_scenario_runs() {
    let page = include_str!("../../../../docs/incident.md");
    let rules = include_str!("../../../../tests/fixtures/incident.yaml");
    assert!(page.contains(&format!("```yaml\n{rules}```\n")));
    if let Err(problems) = parse("docs/incident.md", rules) {
        panic!("{}", problems.render(false));
    }
}
