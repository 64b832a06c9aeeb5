//! The URLs of `crawlmesh crawl`: those of the command line, then those of a file, each checked before anything is started.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;
use domain::PageUrl;

/// The URLs of a command: those it names, then those of the file that it names.
pub(super) fn all(named: &[String], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut urls = named.to_vec();
    if let Some(file) = file {
        let text = if file == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("read the URLs from standard input")?;
            text
        } else {
            fs::read_to_string(file).with_context(|| format!("read the URLs from {}", file.display()))?
        };
        urls.extend(lines(&text).with_context(|| format!("read {}", file.display()))?);
    }
    anyhow::ensure!(!urls.is_empty(), "there is no URL");
    Ok(urls)
}

fn lines(text: &str) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        PageUrl::parse(line).map_err(|error| anyhow::anyhow!("line {number}: {error}"))?;
        urls.push(line.to_owned());
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_url_a_line() {
        let urls = lines("\u{feff}https://a.test/\r\n\n# no page\n https://b.test/ \n").unwrap();
        assert_eq!(urls, ["https://a.test/", "https://b.test/"]);
        let wrong = lines("https://a.test/\n\nftp://b.test/\n").unwrap_err();
        assert!(wrong.to_string().starts_with("line 3: "), "{wrong}");
    }
}
