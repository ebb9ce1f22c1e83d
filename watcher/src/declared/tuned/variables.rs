//! `[variables]`, and `${name}` in values. Functions (`${f:…}`) ask the host and are not evaluated.

use std::collections::HashMap;

/// The longest text that variables may make, in bytes: variables that hold each other double with every line.
const LONGEST: usize = 1 << 16;

/// The variables of a profile: each a text, or why it has none.
#[derive(Debug, Default)]
pub(super) struct Variables(HashMap<String, Result<String, String>>);

impl Variables {
    /// Sets a variable, with those before it put into its value.
    ///
    /// # Errors
    /// Why it has no value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        // The names that TuneD takes: `\w+`.
        if name.is_empty() || !name.chars().all(|char| char.is_alphanumeric() || char == '_') {
            return Err("the name of a variable has letters, digits and `_` only".into());
        }
        let value = self.expand(value);
        let result = value.as_ref().map(|_| ()).map_err(Clone::clone);
        self.0.insert(name.to_owned(), value);
        result
    }

    /// A text with the variables put in; `\${name}` is `${name}`.
    ///
    /// # Errors
    /// Why there is no text.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            rest = from.strip_prefix("${").unwrap_or_default();
            if let Some(before) = before.strip_suffix('\\') {
                expanded.push_str(before);
                expanded.push_str("${");
                continue;
            }
            expanded.push_str(before);
            let Some((name, after)) = rest.split_once('}') else {
                return Err("`${` is not closed".into());
            };
            if name.contains(':') {
                let function: Vec<&str> = name.split(':').take(2).collect();
                return Err(format!("the function `{}` asks the host: not evaluated", function.join(":")));
            }
            match self.0.get(name) {
                Some(Ok(value)) => expanded.push_str(value),
                Some(Err(why)) => return Err(format!("`${{{name}}}` has no value: {why}")),
                None => return Err(format!("no variable `{name}` is set before it")),
            }
            if expanded.len() > LONGEST {
                return Err(format!("the variables in it make more than {LONGEST} bytes"));
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: Result<&str, &str>) {
        let mut variables = Variables::default();
        variables.set("a", "1").unwrap();
        variables.set("b", "${a}2").unwrap();
        variables.set("f", "${f:exec:date}").unwrap_err();
        assert_eq!(variables.expand(text), wanted.map(Into::into).map_err(Into::into));
    }

    #[test]
    fn variables_are_put_in_and_functions_are_not_evaluated() {
        check("x${a}y${b}z", Ok("x1y12z"));
        check("x\\${a}", Ok("x${a}"));
        check("no", Ok("no"));
        check("${c}", Err("no variable `c` is set before it"));
        check("${a", Err("`${` is not closed"));
        check("${f:virt_check:a:${a}}", Err("the function `f:virt_check` asks the host: not evaluated"));
        check("${f}", Err("`${f}` has no value: the function `f:exec` asks the host: not evaluated"));
    }

    #[test]
    fn variables_that_double_come_to_an_end() {
        let mut variables = Variables::default();
        variables.set("v", "0123456789").unwrap();
        let error = (0..100).find_map(|_| variables.set("v", "${v}${v}").err()).unwrap();
        assert!(error.contains("more than 65536 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a${}:\\\\f]{0,20}|\\PC{0,20}") {
            let _ = Variables::default().expand(&text);
        }
    }
}
