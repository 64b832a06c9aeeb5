//! Prints the document of one HTML file as JSON, or one text field of it. Usage: `show FILE URL [FIELD]`.

use std::io::{Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: show FILE URL [FIELD]".into());
    };
    let mut bytes = std::fs::read(&path)?;
    if path.ends_with(".gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
        bytes = plain;
    }
    let url = url::Url::parse(&url)?;
    let document = extract::extract(
        extract::Input { bytes: &bytes, content_type: None, url: &url },
        &extract::Options::default(),
    )?;
    let mut document = serde_json::to_value(&document)?;
    let shown = match arguments.next() {
        Some(field) => match document[&field].take() {
            serde_json::Value::String(text) => text,
            other => serde_json::to_string_pretty(&other)?,
        },
        None => serde_json::to_string_pretty(&document)?,
    };
    writeln!(std::io::stdout(), "{shown}")?;
    Ok(())
}
