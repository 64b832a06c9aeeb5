//! Sessions: kept between pages for their tenant alone, merged, bounded, sealed, and gone when their time is over.

use std::time::Duration;

use api::result::v1 as pb;
use bytesize::ByteSize;
use domain::{Scope, TenantId};
use mesh::Principal;
use tonic::{Code, Response, Status};

use crate::boot::{Running, World, by, eventually, refused, someone, worlds};

/// Somebody with a tenant of their own who may use sessions.
fn owner() -> Principal {
    Principal { scopes: vec![Scope::SessionUse], ..someone() }
}

fn cookie(name: &str, value: &str) -> pb::SessionCookie {
    pb::SessionCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: "example.com".to_owned(),
        below: true,
        path: "/a".to_owned(),
        secure: true,
        http_only: true,
        expires: Some(4_000_000_000),
        same_site: "Lax".to_owned(),
    }
}

fn storage(origin: &str, items: &[(&str, &str)], removed: &[&str]) -> pb::SessionStorage {
    pb::SessionStorage {
        origin: origin.to_owned(),
        items: items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        removed: removed.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn cookies(cookies: Vec<pb::SessionCookie>) -> pb::SessionChanges {
    pb::SessionChanges { cookies, ..pb::SessionChanges::default() }
}

impl Running {
    async fn open(
        &self,
        tenant: TenantId,
        name: &str,
        ttl: i64,
    ) -> Result<(String, pb::SessionState), Status> {
        let ttl = Some(prost_types::Duration { seconds: ttl, nanos: 0 });
        let request = pb::OpenSessionRequest { tenant: tenant.name(), name: format!("sessions/{name}"), ttl };
        let opened = self.sessions.crawler.clone().open_session(request).await?.into_inner();
        Ok((opened.session_id, opened.state.expect("a state")))
    }

    async fn change(
        &self,
        tenant: TenantId,
        name: &str,
        session_id: &str,
        changes: pb::SessionChanges,
    ) -> Result<bool, Status> {
        let request = pb::ChangeSessionRequest {
            tenant: tenant.name(),
            name: format!("sessions/{name}"),
            session_id: session_id.to_owned(),
            changes: Some(changes),
        };
        Ok(self.sessions.crawler.clone().change_session(request).await?.into_inner().kept)
    }

    async fn session(&self, whom: &Principal, name: &str) -> Result<pb::Session, Status> {
        let request = pb::GetSessionRequest { name: format!("sessions/{name}") };
        self.sessions.gateway.clone().get_session(by(whom, request)).await.map(Response::into_inner)
    }

    async fn listed(
        &self,
        whom: &Principal,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<String>, String), Status> {
        let request = pb::ListSessionsRequest { page_size, page_token: page_token.to_owned() };
        let answer = self.sessions.gateway.clone().list_sessions(by(whom, request)).await?.into_inner();
        Ok((answer.sessions.into_iter().map(|session| session.name).collect(), answer.next_page_token))
    }

    async fn delete(&self, whom: &Principal, name: &str) -> Result<(), Status> {
        let request = pb::DeleteSessionRequest { name: format!("sessions/{name}") };
        self.sessions.gateway.clone().delete_session(by(whom, request)).await.map(|_| ())
    }
}

#[tokio::test]
async fn what_a_page_leaves_the_next_one_finds() {
    for world in worlds() {
        let result = world.start().await;
        let whom = owner();
        let (id, state) = result.open(whom.tenant, "shop", 600).await.expect("a session");
        assert_eq!(state, pb::SessionState::default());
        let changes = pb::SessionChanges {
            cookies: vec![cookie("a", "1"), cookie("b", "2")],
            storage: vec![storage("https://example.com", &[("k", "v"), ("l", "w")], &[])],
            ..pb::SessionChanges::default()
        };
        assert!(result.change(whom.tenant, "shop", &id, changes).await.expect("it is kept"));
        result.stop().await;

        // It outlives the process, with the attributes of its cookies.
        let result = world.start().await;
        let (same, state) = result.open(whom.tenant, "shop", 600).await.expect("the session");
        assert_eq!(same, id);
        assert_eq!(state.cookies, [cookie("a", "1"), cookie("b", "2")]);
        assert_eq!(state.storage, [storage("https://example.com", &[("k", "v"), ("l", "w")], &[])]);
        let changes = pb::SessionChanges {
            cookies: vec![cookie("b", "3")],
            removed_cookies: vec![cookie("a", "")],
            storage: vec![storage("https://example.com", &[("l", "x")], &["k"])],
        };
        assert!(result.change(whom.tenant, "shop", &id, changes).await.expect("it is kept"));
        let (_, state) = result.open(whom.tenant, "shop", 600).await.expect("the session");
        assert_eq!(state.cookies, [cookie("b", "3")]);
        assert_eq!(state.storage, [storage("https://example.com", &[("l", "x")], &[])]);
        let shown = result.session(&whom, "shop").await.expect("it is there");
        assert_eq!((shown.cookies, shown.origins, shown.ttl.expect("a time").seconds), (1, 1, 600));
        let seconds = |time: Option<prost_types::Timestamp>| time.expect("a time").seconds;
        assert!(shown.size > 0 && seconds(shown.expire_time) == seconds(shown.use_time) + 600);
        result.stop().await;
    }
}

#[tokio::test]
async fn pages_that_end_together_lose_nothing_of_each_other() {
    for world in worlds() {
        let result = world.start().await;
        let whom = owner();
        let (id, _) = result.open(whom.tenant, "shop", 600).await.expect("a session");
        let change = async |number: usize| {
            let changes = pb::SessionChanges {
                cookies: vec![cookie(&format!("c{number}"), "1")],
                storage: vec![storage("https://example.com", &[(&format!("k{number}"), "1")], &[])],
                ..pb::SessionChanges::default()
            };
            assert!(result.change(whom.tenant, "shop", &id, changes).await.expect("it is kept"));
        };
        futures::future::join_all((0..20).map(change)).await;
        let (_, state) = result.open(whom.tenant, "shop", 600).await.expect("the session");
        assert_eq!((state.cookies.len(), state.storage[0].items.len()), (20, 20));

        // Pages that begin together begin with one session.
        let opened = (0..10).map(|_| result.open(whom.tenant, "new", 600));
        let opened = futures::future::try_join_all(opened).await.expect("a session");
        assert!(opened.iter().all(|(id, _)| *id == opened[0].0));
        result.stop().await;
    }
}

#[tokio::test]
async fn a_tenant_never_sees_what_is_anothers() {
    for world in worlds() {
        let result = world.start().await;
        let (one, other) = (owner(), owner());
        let (id, _) = result.open(one.tenant, "shop", 600).await.expect("a session");
        assert!(result.change(one.tenant, "shop", &id, cookies(vec![cookie("a", "1")])).await.expect("kept"));
        refused(result.session(&other, "shop").await, Code::NotFound, "SESSION_NOT_FOUND");
        refused(result.delete(&other, "shop").await, Code::NotFound, "SESSION_NOT_FOUND");
        assert_eq!(result.listed(&other, 0, "").await.expect("a list").0, Vec::<String>::new());
        // Whoever knows its id cannot get at it under another tenant.
        let kept = result.change(other.tenant, "shop", &id, cookies(vec![cookie("evil", "1")])).await;
        assert!(!kept.expect("an answer"));
        let (_, state) = result.open(other.tenant, "shop", 600).await.expect("a session of its own");
        assert!(state.cookies.is_empty());
        let (_, state) = result.open(one.tenant, "shop", 600).await.expect("the session");
        assert_eq!(state.cookies, [cookie("a", "1")]);

        let reader = someone();
        let without = Principal { scopes: reader.scopes, ..one };
        for answer in [
            result.session(&without, "shop").await.map(|_| ()),
            result.listed(&without, 0, "").await.map(|_| ()),
            result.delete(&without, "shop").await,
        ] {
            let status = answer.expect_err("it has no scope");
            assert!(
                status.code() == Code::PermissionDenied && status.message().contains("session:use"),
                "{status}"
            );
        }
        result.stop().await;
    }
}

#[tokio::test]
async fn its_time_is_counted_from_its_last_use() {
    for mut world in worlds() {
        world.config.sessions.linger = Duration::from_secs(3600);
        let result = world.start().await;
        let whom = owner();
        let (id, _) = result.open(whom.tenant, "short", 1).await.expect("a session");
        result.open(whom.tenant, "long", 600).await.expect("a session");
        assert!(
            result.change(whom.tenant, "short", &id, cookies(vec![cookie("a", "1")])).await.expect("kept")
        );
        eventually("it is over", async || result.session(&whom, "short").await.is_err()).await;
        refused(result.session(&whom, "short").await, Code::NotFound, "SESSION_NOT_FOUND");
        refused(result.delete(&whom, "nobody").await, Code::NotFound, "SESSION_NOT_FOUND");
        assert_eq!(result.listed(&whom, 0, "").await.expect("a list").0, ["sessions/long"]);

        // A page that began in time may end after it, and that is a use, too.
        let changes = pb::SessionChanges { cookies: vec![cookie("b", "2")], ..Default::default() };
        assert!(result.change(whom.tenant, "short", &id, changes.clone()).await.expect("an answer"));
        let (same, state) = result.open(whom.tenant, "short", 1).await.expect("the session");
        assert_eq!((same, state.cookies.len()), (id.clone(), 2));

        // Over again, its name begins a new one, and the one before is gone for good.
        eventually("it is over", async || result.session(&whom, "short").await.is_err()).await;
        let (new, state) = result.open(whom.tenant, "short", 600).await.expect("a new session");
        assert!(new != id && state.cookies.is_empty());
        assert!(!result.change(whom.tenant, "short", &id, changes).await.expect("an answer"));
        let (_, state) = result.open(whom.tenant, "short", 600).await.expect("the session");
        assert!(state.cookies.is_empty());
        result.stop().await;
    }
}

#[tokio::test]
async fn the_janitor_takes_what_is_over() {
    for mut world in worlds() {
        world.config.sessions.linger = Duration::ZERO;
        let result = world.start().await;
        let whom = owner();
        let (id, _) = result.open(whom.tenant, "short", 1).await.expect("a session");
        // While it is there a change is kept, and makes it live on: so only one try, when it is over and the janitor has come.
        eventually("it is over", async || result.session(&whom, "short").await.is_err()).await;
        eventually("it is gone", async || {
            // A change of another session does not touch it.
            let other = uuid::Uuid::now_v7().to_string();
            assert!(!result.change(whom.tenant, "short", &other, cookies(vec![])).await.expect("an answer"));
            world.rows().await == 0
        })
        .await;
        assert!(!result.change(whom.tenant, "short", &id, cookies(vec![])).await.expect("an answer"));
        result.stop().await;
    }
}

#[tokio::test]
async fn a_deleted_session_takes_nothing_of_pages_that_still_run() {
    for world in worlds() {
        let result = world.start().await;
        let whom = owner();
        let (id, _) = result.open(whom.tenant, "shop", 600).await.expect("a session");
        result.delete(&whom, "shop").await.expect("it is deleted");
        assert!(
            !result
                .change(whom.tenant, "shop", &id, cookies(vec![cookie("a", "1")]))
                .await
                .expect("an answer")
        );
        refused(result.session(&whom, "shop").await, Code::NotFound, "SESSION_NOT_FOUND");
        let (new, state) = result.open(whom.tenant, "shop", 600).await.expect("a new session");
        assert!(new != id && state.cookies.is_empty());
        assert!(
            !result
                .change(whom.tenant, "shop", &id, cookies(vec![cookie("a", "1")]))
                .await
                .expect("an answer")
        );
        result.stop().await;
    }
}

#[tokio::test]
async fn every_bound_holds_and_is_named() {
    for mut world in worlds() {
        let sessions = &mut world.config.sessions;
        (sessions.max_per_tenant, sessions.max_cookies, sessions.max_origins) = (2, 3, 1);
        sessions.max_state = ByteSize::kib(2);
        let result = world.start().await;
        let whom = owner();
        let opened = (0..5).map(|n| result.open(whom.tenant, ["a", "b", "c", "d", "e"][n], 600));
        let opened = futures::future::join_all(opened).await;
        assert_eq!(opened.iter().filter(|answer| answer.is_ok()).count(), 2);
        for answer in opened.into_iter().filter(Result::is_err) {
            refused(answer, Code::ResourceExhausted, "TOO_MANY_SESSIONS");
        }
        let (names, token) = result.listed(&whom, 1, "").await.expect("a list");
        let (rest, end) = result.listed(&whom, 1, &token).await.expect("its end");
        assert!(names.len() == 1 && rest.len() == 1 && names < rest && end.is_empty());
        refused(result.listed(&owner(), 1, &token).await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");

        let name = names[0].strip_prefix("sessions/").expect("a name").to_owned();
        let (id, _) = result.open(whom.tenant, &name, 600).await.expect("the session");
        let good = cookies((0..3).map(|n| cookie(&format!("c{n}"), "1")).collect());
        assert!(result.change(whom.tenant, &name, &id, good).await.expect("it is kept"));
        let origins =
            ["https://a.example", "https://b.example"].map(|origin| storage(origin, &[("k", "v")], &[]));
        let long = cookie("c0", &"x".repeat(2000));
        for changes in [
            cookies(vec![cookie("more", "1")]),
            pb::SessionChanges { storage: origins.to_vec(), ..Default::default() },
            cookies(vec![long]),
        ] {
            let answer = result.change(whom.tenant, &name, &id, changes).await;
            refused(answer, Code::ResourceExhausted, "SESSION_TOO_LARGE");
        }
        let (_, state) = result.open(whom.tenant, &name, 600).await.expect("the session");
        assert!(state.cookies.len() == 3 && state.storage.is_empty(), "what is refused leaves nothing");
        result.stop().await;
    }
}

#[tokio::test]
async fn the_database_alone_says_nothing() {
    for world in worlds() {
        let result = world.start().await;
        let whom = owner();
        let (id, _) = result.open(whom.tenant, "shop", 600).await.expect("a session");
        let secret = cookies(vec![cookie("secret-name", "secret-value")]);
        assert!(result.change(whom.tenant, "shop", &id, secret).await.expect("it is kept"));
        let sealed = world.sealed().await;
        assert!(!sealed.is_empty());
        for word in [&b"secret-name"[..], b"secret-value", b"example.com"] {
            assert!(!sealed.windows(word.len()).any(|window| window == word));
        }
        result.stop().await;
        std::fs::remove_file(&world.config.sessions.key_file).expect("there is a key");
        let result = world.start().await;
        refused(result.open(whom.tenant, "shop", 600).await, Code::Internal, "SESSION_UNREADABLE");
        result.delete(&whom, "shop").await.expect("it can be deleted");
        assert!(result.open(whom.tenant, "shop", 600).await.is_ok());
        result.stop().await;
    }
}

impl World {
    /// What is sealed in the first session of the database.
    async fn sealed(&self) -> Vec<u8> {
        let sealed = self.ask("SELECT sealed FROM session").await;
        sealed.map(|row| row.try_get_by_index(0).expect("bytes")).unwrap_or_default()
    }

    /// Sessions in the database.
    async fn rows(&self) -> i64 {
        let count = self.ask("SELECT COUNT(*) FROM session").await.expect("a row");
        count.try_get_by_index(0).expect("a number")
    }

    async fn ask(&self, sql: &str) -> Option<sea_orm::QueryResult> {
        use sea_orm::ConnectionTrait;
        let db = sea_orm::Database::connect(&self.config.database.url).await.expect("the database");
        let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
        let row = db.query_one_raw(statement).await.expect("an answer");
        db.close().await.expect("it closes");
        row
    }
}
