//! The one checker of what must hold of a mesh after any fault (RELIABILITY 9.1): ledger, event log and documents agree.

use std::{collections::BTreeSet, process::Command};

use api::{
    job::v1::{
        Job, ListPagesRequest, Page,
        page::{Kind, State as PageState, Verdict},
    },
    result::v1::ListDocumentsRequest,
};

use crate::{Clients, Processes, assert_adds_up};

impl Clients {
    /// Every line of a job's ledger.
    ///
    /// # Panics
    /// Where it cannot be read.
    pub async fn pages(&self, job: &str) -> Vec<Page> {
        let mut request =
            ListPagesRequest { parent: job.to_owned(), page_size: 1000, ..ListPagesRequest::default() };
        let mut pages = Vec::new();
        loop {
            let answer = self.jobs.clone().list_pages(request.clone()).await;
            let answer = answer.expect("because the job exists").into_inner();
            pages.extend(answer.pages);
            if answer.next_page_token.is_empty() {
                return pages;
            }
            request.page_token = answer.next_page_token;
        }
    }

    /// The names of a job's documents, and what they are documents of.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub async fn documents(&self, job: &str) -> Vec<(String, String)> {
        let mut request =
            ListDocumentsRequest { parent: job.to_owned(), page_size: 100, page_token: String::new() };
        let mut documents = Vec::new();
        loop {
            let answer = self.results.clone().list_documents(request.clone()).await;
            let answer = answer.expect("because the job exists").into_inner();
            documents.extend(answer.documents.into_iter().map(|document| (document.name, document.url)));
            if answer.next_page_token.is_empty() {
                return documents;
            }
            request.page_token = answer.next_page_token;
        }
    }

    /// Checks an ended job: its sums are those of its lines, every line has one verdict and every address one line, each
    /// page that succeeded has one document, which can be read, and no document belongs to nobody.
    ///
    /// # Panics
    /// With what does not hold.
    pub async fn check_job(&self, name: &str) -> Job {
        let job = self.ended(name).await;
        assert_adds_up(&job);
        let counts = job.counts.expect("because a job has counts");
        assert_eq!((counts.pending, counts.running), (0, 0), "{name} has ended: {counts:?}");
        let pages = self.pages(name).await;
        assert_eq!(
            counts.found,
            i64::try_from(pages.len()).unwrap_or(i64::MAX),
            "{name} lists what it found"
        );
        let mut urls = BTreeSet::new();
        for page in &pages {
            assert_eq!(page.page_state(), PageState::Done, "{name} has ended: {page:?}");
            assert!(
                page.verdict() != Verdict::Unspecified && page.end_time.is_some(),
                "no verdict: {page:?}"
            );
            assert!(page.kind() != Kind::Page || urls.insert(&page.url), "twice in {name}: {}", page.url);
        }
        let documents = self.documents(name).await;
        let names: BTreeSet<_> = documents.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), documents.len(), "a document of {name} is listed twice");
        let known: BTreeSet<_> = pages.iter().map(|page| page.name.as_str()).collect();
        let orphans: Vec<_> = names.difference(&known).collect();
        assert!(orphans.is_empty(), "documents of no page of {name}: {orphans:?}");
        let good = |page: &&Page| page.kind() == Kind::Page && page.verdict() == Verdict::Ok;
        let lost: Vec<_> =
            pages.iter().filter(good).filter(|page| !names.contains(page.name.as_str())).collect();
        assert!(lost.is_empty(), "{} pages of {name} have no document: {:?}", lost.len(), lost.first());
        job
    }
}

impl Processes {
    /// What processes logged at ERROR so far: a human would have to look.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let logs = self.members().into_iter().map(|member| self.log(member));
        let lines = logs.flat_map(|log| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.filter(|line| line.contains("\"level\":\"ERROR\"")).collect()
    }

    /// Checks these ended jobs as [`Clients::check_job`] does, every ledger with `crawlmesh verify`, and that no process called
    /// for a human.
    ///
    /// # Panics
    /// With what does not hold.
    pub async fn check(&self, jobs: &[&str]) {
        for job in jobs {
            self.check_job(job).await;
        }
        let mut verify = Command::new(self.binary("crawlmesh"));
        let output = verify
            .args(["verify", "--database-url", self.job_database()])
            .output()
            .expect("because `make test` builds it first");
        let told = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "crawlmesh verify: {told}{complaint}");
        let errors = self.errors();
        assert!(
            errors.is_empty(),
            "{} lines at ERROR, first: {:#?}",
            errors.len(),
            &errors[..errors.len().min(5)]
        );
    }
}
