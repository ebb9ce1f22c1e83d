//! The values that came with deployments: the last source of all.

use std::sync::Arc;

use super::Declaration;
use crate::model::{Deployment, Expectation, IfAbsent, Source};

/// What deployments in force declare, in the order in which they were delivered.
///
/// Each application of an environment is a source of its own, `webhook:APP@ENVIRONMENT`, and the place in the message's
/// map is the line: two applications that disagree about a key are told like two files that do.
pub fn inline<'d>(deployments: impl Iterator<Item = &'d Deployment>) -> Vec<Declaration> {
    deployments.flat_map(declarations).collect()
}

fn declarations(deployment: &Deployment) -> impl Iterator<Item = Declaration> {
    let mut from = String::from("webhook");
    for (sign, name) in [(':', &deployment.app), ('@', &deployment.environment)] {
        if let Some(name) = name {
            from.push(sign);
            from.push_str(name);
        }
    }
    let from: Arc<str> = from.into();
    deployment.declared.iter().zip(1..).map(move |((key, value), line)| Declaration {
        key: key.clone(),
        expectation: Expectation::Equal(value.clone()),
        if_absent: IfAbsent::Drift,
        from: from.clone(),
        source: Source { file: from.clone(), line },
        commit: Some(deployment.commit.clone()),
    })
}
