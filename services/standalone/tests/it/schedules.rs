//! A schedule through the whole mesh, over REST: its jobs are crawled, its times go on, a pause ends them.

use domain::Service;
use reqwest::Method;
use serde_json::json;
use testkit::{Mesh, Site, eventually, rest::send};

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_crawls_a_site_again_and_again() {
    let settings = "[schedules]\nmin_interval = \"1s\"\npoll = \"200ms\"\n";
    let mesh = Mesh::builder().set(Service::Job, settings).start().await;
    let site = Site::start().await;
    let schedule = json!({
        "interval": "1s", "labels": {"team": "docs"}, "job": {"urls": site.pages(2), "labels": {"of": "a schedule"}},
    });
    let created = mesh.rest.post("/v1/schedules", &schedule).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let path = format!("/v1/{}", created.json["name"].as_str().expect("because it has a name"));
    assert_eq!((&created.json["interval"], &created.json["labels"]["team"]), (&json!("1s"), &json!("docs")));

    let fired = eventually(|| mesh.rest.get(&path), |now| now.json["fired"].as_i64() >= Some(2)).await;
    let name = created.json["name"].as_str().expect("because it has a name");
    let list = format!("/v1/jobs?schedule={name}");
    let done = eventually(
        || mesh.rest.get(&list),
        |list| {
            let jobs = list.json["jobs"].as_array().expect("because it is a list");
            jobs.iter().filter(|job| job["state"] == "SUCCEEDED").count() >= 2
        },
    );
    for job in done.await.json["jobs"].as_array().expect("because it is a list") {
        assert_eq!((&job["schedule"], &job["labels"]["of"]), (&json!(name), &json!("a schedule")));
    }
    assert!(fired.json["last_job"].as_str().is_some_and(|job| job.starts_with("jobs/")));
    assert!(site.visits().len() >= 4, "each job fetched the pages again");

    // And whenever somebody asks, once for each key.
    let ask = || mesh.rest.request(Method::POST, &format!("{path}:run")).header("idempotency-key", "now");
    let asked = eventually(|| send(ask().json(&json!({}))), |asked| asked.reason() != "SCHEDULE_BUSY").await;
    assert_eq!((asked.status, &asked.json["schedule"]), (200, &json!(name)), "{}", asked.text);
    assert_eq!(send(ask().json(&json!({}))).await.json["name"], asked.json["name"]);

    let paused = send(mesh.rest.request(Method::PATCH, &path).json(&json!({"paused": true}))).await;
    assert_eq!((paused.status, &paused.json["paused"]), (200, &json!(true)), "{}", paused.text);
    assert!(paused.json.get("next_time").is_none_or(serde_json::Value::is_null), "{}", paused.text);
    let wrong = send(mesh.rest.request(Method::PATCH, &path).json(&json!({"cron": "every day"}))).await;
    assert_eq!((wrong.status, wrong.reason()), (400, "INVALID_CRON"), "{}", wrong.text);
    assert_eq!(wrong.json["errors"][0]["field"], "schedule.cron");
    let gone = send(mesh.rest.request(Method::DELETE, &path)).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(mesh.rest.get(&path).await.reason(), "SCHEDULE_NOT_FOUND");
}
