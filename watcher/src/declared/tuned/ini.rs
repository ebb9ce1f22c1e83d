//! The file of a profile, as Python's `configparser` reads it with TuneD's settings: `=` separates, `#` behind white
//! space begins a comment, a line indented deeper goes on with the value above it.

/// A section and its options, in the order of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Section {
    pub name: String,
    pub line: usize,
    pub options: Vec<Setting>,
}

/// An option.
#[derive(Debug, PartialEq)]
pub(super) struct Setting {
    pub name: String,
    /// Its value; the lines of a value that goes on are joined by newlines.
    pub value: String,
    pub line: usize,
}

/// A line that TuneD would refuse the whole file for.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    pub text: String,
    pub line: usize,
    pub why: &'static str,
}

/// Reads a file. A section that comes twice is two sections here.
pub(super) fn parse(text: &str) -> (Vec<Section>, Vec<Refused>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut refused = Vec::new();
    // How deep the option above is indented, while it may go on.
    let mut above: Option<usize> = None;
    for (index, raw) in text.lines().enumerate() {
        let line = without_comment(raw);
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        let number = index + 1;
        let depth = line.chars().take_while(|char| char.is_whitespace()).count();
        let option = sections.last_mut().and_then(|section| section.options.last_mut());
        if let (Some(above), Some(option)) = (above, option)
            && depth > above
        {
            option.value.push('\n');
            option.value.push_str(trimmed);
            continue;
        }
        above = None;
        // Greedy, as in `configparser`: the name may hold a bracket.
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            let name = name.0.to_owned();
            sections.push(Section { name, line: number, options: Vec::new() });
            continue;
        }
        let mut refuse = |why| refused.push(Refused { text: trimmed.to_owned(), line: number, why });
        let Some(section) = sections.last_mut() else {
            refuse("it stands before the first section, and TuneD refuses the file");
            continue;
        };
        match trimmed.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                section.options.push(Setting { name, value, line: number });
                above = Some(depth);
            }
            _ => refuse("wanted `name=value`, and TuneD refuses the file"),
        }
    }
    (sections, refused)
}

/// The line up to its comment. `;` begins one only at the beginning of a line.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with([';', '#']) {
        return "";
    }
    let mut before = ' ';
    for (at, char) in line.char_indices() {
        if char == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = char;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let (sections, refused) = parse(text);
        let options = sections.iter().flat_map(|section| {
            let options = section.options.iter();
            options.map(|o| (o.line, format!("[{}] {} is {:?}", section.name, o.name, o.value)))
        });
        let mut said: Vec<_> = options.chain(refused.iter().map(|r| (r.line, r.text.clone()))).collect();
        said.sort();
        let said: Vec<String> = said.into_iter().map(|(line, said)| format!("{line} {said}")).collect();
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_file_is_read_as_configparser_reads_it() {
        check(
            "[a]\nb=c\n\n# d=e\n ; f=g\nh = i # j\nk=l#m\nn=o ; p\n",
            &["2 [a] b is \"c\"", "6 [a] h is \"i\"", "7 [a] k is \"l#m\"", "8 [a] n is \"o ; p\""],
        );
        check("[a]\nb=c\n d\n\n\te\nf=g\n", &["2 [a] b is \"c\\nd\\ne\"", "6 [a] f is \"g\""]);
        check("[a]\n  b=c\n  d=e\n", &["2 [a] b is \"c\"", "3 [a] d is \"e\""]);
        check("[a]\nb=>5\nc=d=e\nf=\n", &["2 [a] b is \">5\"", "3 [a] c is \"d=e\"", "4 [a] f is \"\""]);
        check("[a]]\nb=1\n[c] d\ne=2\n", &["2 [a]] b is \"1\"", "4 [c] e is \"2\""]);
        check("a=1\n[b]\nc\n=2\n", &["1 a=1", "3 c", "4 =2"]);
        check("[a]\nb=1\n[c]\n d=2\n", &["2 [a] b is \"1\"", "4 [c] d is \"2\""]);
    }
}
