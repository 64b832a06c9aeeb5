//! Writes the main text of every `html/ID.html.gz` of a corpus folder as JSON, for `score_articles.py`.
//! Usage: `score FOLDER OUTPUT.json`. Addresses are read from `truth.json` beside `html`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: score FOLDER OUTPUT.json".into());
    };
    let truth: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(Path::new(&folder).join("truth.json"))?)?;
    let mut found = BTreeMap::new();
    for (id, page) in &truth {
        let file = std::fs::File::open(Path::new(&folder).join("html").join(format!("{id}.html.gz")))?;
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes)?;
        let url = url::Url::parse(page["url"].as_str().unwrap_or("http://localhost/"))?;
        let input = extract::Input { bytes: &bytes, content_type: Some("text/html"), url: &url };
        let document = extract::extract(input, &extract::Options::default())?;
        let kind = format!("{:?}", document.content_kind);
        found.insert(id.clone(), serde_json::json!({"articleBody": document.text, "kind": kind, "confidence": document.confidence}));
    }
    std::fs::write(output, serde_json::to_vec(&found)?)?;
    Ok(())
}
