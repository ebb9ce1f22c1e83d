//! The files of the page, as they are in the program: nothing is built, nothing is fetched from elsewhere.

/// A file of the page.
pub struct File {
    /// Its type.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at a path.
pub fn file(path: &str) -> Option<File> {
    let (content_type, bytes): (_, &[u8]) = match path {
        "/" => ("text/html; charset=utf-8", include_bytes!("page/page.html")),
        "/page.css" => ("text/css; charset=utf-8", include_bytes!("page/page.css")),
        "/page.js" => (SCRIPT, include_bytes!("page/page.js")),
        "/state.js" => (SCRIPT, include_bytes!("page/state.js")),
        "/timeline.js" => (SCRIPT, include_bytes!("page/timeline.js")),
        "/history.js" => (SCRIPT, include_bytes!("page/history.js")),
        "/words.js" => (SCRIPT, include_bytes!("page/words.js")),
        "/icon.svg" => ("image/svg+xml", include_bytes!("page/icon.svg")),
        _ => return None,
    };
    Some(File { content_type, bytes })
}
