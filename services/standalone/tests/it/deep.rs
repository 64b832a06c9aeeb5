//! Whole-site crawls through the whole mesh, over generated sites with cycles, traps, copies and sitemaps.

use std::collections::BTreeSet;

use domain::Service;
use serde_json::{Value, json};
use testkit::{Clients, Mesh, Processes, Site, assert_adds_up, site::Answer};

/// A page with its own words and these links.
fn html(name: &str, links: &[String]) -> String {
    let words: String = (0..60).map(|n| format!("{name}word{n} ")).collect();
    let links: String = links.iter().map(|link| format!("<a href='{link}'>to {link}</a> ")).collect();
    format!(
        "<html><head><title>{name}</title></head><body><main><h1>{name}</h1><p>{words}</p>{links}</main></body></html>"
    )
}

/// `/t/`, `/t/0`, … `/t/012`: a tree with `width` children for each page, links back to all ancestors, and an endless calendar.
fn tree_with_traps(width: usize) -> impl Fn(&str) -> Option<String> {
    move |path| {
        if let Some(day) = path.strip_prefix("/calendar/") {
            let day: u64 = day.parse().ok()?;
            return Some(html(&format!("day{day}"), &[format!("/calendar/{}", day + 1), "/t/".into()]));
        }
        let name = path.strip_prefix("/t/")?;
        let mut links =
            vec!["/t/".to_owned(), "/calendar/1".to_owned(), format!("{path}?utm_source=self#top")];
        links.extend((1..=name.len()).map(|end| format!("/t/{}", &name[..end])));
        links.extend((0..width).map(|n| format!("/t/{name}{n}")));
        Some(html(&format!("page{name}x"), &links))
    }
}

async fn crawl(mesh: &Mesh, seed: &str, deep: Value) -> Value {
    let body = json!({"urls": [seed], "config": {"render": "HTTP", "deep_crawl": deep}});
    let answer = mesh.rest.post("/v1/crawl-jobs?wait=50s", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let name = answer.json["name"].as_str().expect("because it has a name").to_owned();
    assert_adds_up(&mesh.ended(&name).await);
    mesh.rest.get(&format!("/v1/{name}")).await.json
}

/// Every line of a job's ledger, by path.
async fn pages(mesh: &Clients, job: &Value, filter: &str) -> Vec<Value> {
    let name = job["name"].as_str().unwrap_or_default();
    let answer = mesh.rest.get(&format!("/v1/{name}/pages?page_size=1000{filter}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["pages"].as_array().cloned().unwrap_or_default()
}

fn path(page: &Value) -> String {
    let url = page["url"].as_str().unwrap_or_default();
    url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
}

fn paths(pages: &[Value]) -> BTreeSet<String> {
    pages.iter().map(path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn breadth_first_reads_whole_levels_and_never_one_page_more() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.write(tree_with_traps(5));
    let job = crawl(&mesh, &site.url("/t/"), json!({"max_depth": 2, "max_pages": 500})).await;
    // Depths 0 to 2: 1 + 5 + 25 pages of the tree, two days of the calendar.
    assert_eq!(job["verdicts"], json!({"ok": 33}), "{job}");
    // Those below the last level, and the calendar's next day; also links back to what is known.
    assert!(job["discovery"]["refused"]["max_depth"].as_i64() >= Some(125 + 1), "{job}");
    assert_eq!(site.all_hits(), 33 + 1, "each page once, and robots.txt");

    let before = site.all_hits();
    let job = crawl(&mesh, &site.url("/t/"), json!({"max_depth": 50, "max_pages": 40})).await;
    assert_eq!(job["verdicts"]["ok"], 40, "{job}");
    assert_eq!(site.all_hits() - before, 40, "exactly the budget");
    let done = pages(&mesh, &job, "&verdict=OK").await;
    assert_eq!(done.len(), 40);
    let whole: BTreeSet<String> = (0..5).map(|n| format!("/t/{n}")).collect();
    assert!(whole.is_subset(&paths(&done)), "the first level is there");
    let over = pages(&mesh, &job, "&verdict=BUDGET").await;
    assert_eq!(job["verdicts"]["budget"].as_i64(), i64::try_from(over.len()).ok());
    let deep = done.iter().find(|page| page["depth"] == 2).expect("because there are some");
    assert_eq!(deep["rule"], "same host");
    assert!(deep["found_on_url"].as_str().is_some_and(|url| url.starts_with(&site.url("/"))), "{deep}");
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_first_goes_down_and_best_first_goes_for_the_words() {
    // One page at a time, so that the order is the frontier's.
    let mesh = Mesh::builder().set(Service::Job, "[dispatch]\nqueue_depth = 1\n").start().await;
    let site = Site::start().await;
    site.write(tree_with_traps(3));
    let exclude = json!([{"glob": "/calendar/**"}]);
    let deep = json!({"strategy": "DFS", "max_depth": 20, "max_pages": 30, "exclude": exclude});
    let job = crawl(&mesh, &site.url("/t/"), deep).await;
    let done = pages(&mesh, &job, "&verdict=OK").await;
    assert_eq!(done.len(), 30, "{job}");
    let deepest = done.iter().filter_map(|page| page["depth"].as_i64()).max();
    assert_eq!(deepest, Some(20), "thirty pages breadth first would end at depth 3");
    assert!(job["discovery"]["refused"]["exclude glob /calendar/**"].as_i64() >= Some(30), "{job}");

    let deep = json!({"strategy": "BEST_FIRST", "keywords": ["calendar"], "max_depth": 100, "max_pages": 30});
    let job = crawl(&mesh, &site.url("/t/"), deep).await;
    let done = pages(&mesh, &job, "&verdict=OK").await;
    let days = done.iter().filter(|page| path(page).starts_with("/calendar/")).count();
    assert_eq!(done.len(), 30, "{job}");
    assert_eq!(days, 29, "the seed, and days");
    let day = done.iter().find(|page| path(page) == "/calendar/1").expect("because it is the best");
    assert_eq!(day["score"], 1, "{day}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_page_are_found_out() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let to = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    site.set("/", Answer::Html(html("home", &to(&["/a", "/b/"]))));
    site.set("/a", Answer::Html(html("original", &to(&["/copy", "/moved", "/canonical", "/secret"]))));
    site.set("/b/", Answer::Html(html("other", &to(&["/", "/a/", "/b"]))));
    site.set("/copy", Answer::Html(html("original", &to(&["/copy", "/moved", "/canonical", "/secret"]))));
    site.set("/moved", Answer::Redirect("/a".into()));
    let canonical = html("canonical", &[]).replace("<title>", "<link rel=canonical href='/a'><title>");
    site.set("/canonical", Answer::Html(canonical));
    let job = crawl(&mesh, &site.url("/"), json!({})).await;
    assert_eq!(job["verdicts"], json!({"ok": 3, "duplicate": 3, "http_error": 1}), "{job}");
    let copies = pages(&mesh, &job, "&verdict=DUPLICATE").await;
    let expected: BTreeSet<String> = ["/copy", "/moved", "/canonical"].map(str::to_owned).into();
    assert_eq!(paths(&copies), expected);
    let all = pages(&mesh, &job, "").await;
    let original = all.iter().find(|page| path(page) == "/a").expect("because it was read");
    for copy in &copies {
        assert_eq!(
            copy["detail"],
            format!("duplicate of {}", original["name"].as_str().unwrap_or_default()),
            "{copy}"
        );
    }
    assert_eq!(pages(&mesh, &job, "&state=DONE&verdict=OK").await.len(), 3);
    assert!(pages(&mesh, &job, "&state=PENDING").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sitemaps_say_which_pages_there_are() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.write(|path| path.strip_prefix("/page/").map(|name| html(name, &["/linked".to_owned()])));
    site.set("/linked", Answer::Html(html("linked", &[])));
    site.set(
        "/robots.txt",
        Answer::Bytes("text/plain", format!("Sitemap: {}\n", site.url("/index.xml")).into_bytes()),
    );
    let index =
        format!("<sitemapindex><sitemap><loc>{}</loc></sitemap></sitemapindex>", site.url("/list.xml"));
    site.set("/index.xml", Answer::Bytes("application/xml", index.into_bytes()));
    let entry = |n: u32| {
        format!("<url><loc>{}</loc><lastmod>2026-01-{n:02}</lastmod></url>", site.url(&format!("/page/{n}")))
    };
    let list = format!(
        "<urlset>{}<url><loc>https://example.org/</loc></url></urlset>",
        (1..=20).map(entry).collect::<String>()
    );
    site.set("/list.xml", Answer::Bytes("application/xml", list.into_bytes()));

    let seed = site.url("/page/seed");
    let job = crawl(&mesh, &seed, json!({"sitemaps": "ONLY", "weights": {"freshness": 1}})).await;
    assert_eq!(job["verdicts"], json!({"ok": 24}), "{job}");
    assert_eq!(
        (&job["discovery"]["sources"], &job["discovery"]["refused"]["other host"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(site.hits("/linked"), 0, "links are not followed");
    let all = pages(&mesh, &job, "").await;
    let page = all.iter().find(|page| path(page) == "/page/7").expect("because the sitemap has it");
    assert_eq!((&page["depth"], page["score"].as_f64() < Some(0.5)), (&json!(1), true), "{page}");
    let parent = page["found_on_url"].as_str().unwrap_or_default();
    assert_eq!(parent, site.url("/list.xml"));
    let kinds: Vec<&Value> = all.iter().map(|page| &page["kind"]).filter(|kind| *kind != "PAGE").collect();
    assert_eq!(kinds, ["ROBOTS_FILE", "SITEMAP", "SITEMAP"]);

    let job = crawl(&mesh, &seed, json!({"sitemaps": "INCLUDE", "max_pages": 5})).await;
    assert_eq!((&job["counts"]["succeeded"], &job["discovery"]["sources"]), (&json!(8), &json!(3)), "{job}");
    let bare = Site::start().await;
    bare.set("/", Answer::Html(html("home", &[])));
    let job = crawl(&mesh, &bare.url("/"), json!({"sitemaps": "INCLUDE"})).await;
    assert_eq!((&job["state"], &job["verdicts"]), (&json!("SUCCEEDED"), &json!({"ok": 3})), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_kill_9_of_the_job_service_in_the_middle_costs_no_page_and_adds_none() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    site.write(tree_with_traps(4));
    let deep = json!({"max_depth": 50, "max_pages": 300, "strategy": "DFS"});
    let body = json!({"urls": [site.url("/t/")], "config": {"render": "HTTP", "deep_crawl": deep}});
    let job = mesh.rest.post("/v1/crawl-jobs", &body).await.json;
    let name = job["name"].as_str().expect("because it was accepted").to_owned();
    for least in [40, 120] {
        let succeeded = |job: &api::job::v1::Job| job.counts.is_some_and(|counts| counts.succeeded >= least);
        mesh.until(&name, succeeded).await;
        mesh.kill(Service::Job);
        mesh.spawn(Service::Job);
        mesh.wait_ready().await;
    }
    let ended = mesh.ended(&name).await;
    assert_eq!(ended.verdicts["ok"], 300, "{ended:?}");
    let done = pages(&mesh, &job, "&verdict=OK").await;
    assert_eq!((done.len(), paths(&done).len()), (300, 300), "each page once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_the_rule_for_each_url() {
    let mesh = Mesh::start().await;
    let deep = json!({"scope": "SUBDOMAINS", "exclude": [{"glob": "/old/**"}], "keywords": ["rust"]});
    let urls = [
        "https://docs.example.com/rust?utm_id=1#x",
        "https://example.com/old/a",
        "https://example.org/",
        "https://example.com/",
        "nope",
        "https://docs.example.com/rust/",
    ];
    let body = json!({"seed": "https://example.com/", "deep_crawl": deep, "urls": urls});
    let answer = mesh.rest.post("/v1/crawl-jobs:testUrls", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let lines = answer.json["results"].as_array().cloned().unwrap_or_default();
    let rules: Vec<&str> = lines.iter().filter_map(|line| line["rule"].as_str()).collect();
    assert_eq!(rules, ["same domain", "exclude glob /old/**", "other domain", "known", "invalid", "known"]);
    assert_eq!((&lines[0]["admitted"], &lines[0]["score"]), (&json!(true), &json!(1)));
    assert_eq!(lines[0]["canonical_url"], "https://docs.example.com/rust");
    assert_eq!(lines[5]["same_as"], urls[0]);
    let bad = json!({"seed": "", "deep_crawl": {"exclude": [{"regex": "("}]}, "urls": []});
    let refused = mesh.rest.post("/v1/crawl-jobs:testUrls", &bad).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let errors = refused.json["errors"].as_array().cloned().unwrap_or_default();
    let fields: BTreeSet<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, ["deep_crawl.exclude[0].regex", "seed", "urls"].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_lists_a_site_without_reading_its_pages() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set(
        "/",
        Answer::Html(html("home", &["/a?utm_source=x".into(), "/b".into(), "https://example.org/".into()])),
    );
    let list = format!(
        "<urlset><url><loc>{}</loc><lastmod>2026-02-03</lastmod></url><url><loc>{}</loc></url></urlset>",
        site.url("/b"),
        site.url("/c")
    );
    site.set("/sitemap.xml", Answer::Bytes("application/xml", list.into_bytes()));
    let answer = mesh.rest.post("/v1/map", &json!({"url": site.url("/")})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let urls = answer.json["urls"].as_array().cloned().unwrap_or_default();
    assert_eq!(paths(&urls), ["/a", "/b", "/c"].map(str::to_owned).into(), "{}", answer.text);
    let b = urls.iter().find(|url| path(url) == "/b").expect("because it is there");
    assert_eq!(
        (&b["lastmod"], &b["sources"], &b["text"]),
        (&json!("2026-02-03"), &json!([0, 2]), &json!("to /b"))
    );
    let kinds: Vec<&Value> =
        answer.json["sources"].as_array().into_iter().flatten().map(|source| &source["kind"]).collect();
    assert_eq!(kinds, ["PAGE", "ROBOTS_FILE", "SITEMAP"]);
    assert_eq!((site.hits("/a"), site.hits("/b"), site.hits("/c")), (0, 0, 0));
    assert_eq!(answer.json["refused"]["other host"], 1);
    let only = json!({"url": site.url("/"), "sitemaps": "ONLY", "limit": 1});
    let answer = mesh.rest.post("/v1/map", &only).await;
    assert_eq!(
        (answer.json["urls"].as_array().map(Vec::len), &answer.json["truncated"]),
        (Some(1), &json!(true))
    );
    let bad = mesh.rest.post("/v1/map", &json!({"url": "nope", "limit": 0})).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    // Other sites need the scope that a crawl needs for them.
    let keys = json!({"api_key": {"display_name": "narrow", "scopes": ["jobs:read", "jobs:write"]}});
    let key = mesh.rest.post("/v1/api-keys", &keys).await.json["secret"].clone();
    let narrow = mesh.with_key(key.as_str().unwrap_or_default());
    let any = json!({"url": site.url("/"), "scope": "ANY"});
    let refused = narrow.rest.post("/v1/map", &any).await;
    assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"), "{}", refused.text);
    assert_eq!(mesh.rest.post("/v1/map", &any).await.json["urls"].as_array().map(Vec::len), Some(4));
}
