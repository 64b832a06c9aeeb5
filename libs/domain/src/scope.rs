//! What a credential may do. A method or a job option that needs a scope refuses a credential without it by name.

use crate::lane::words;

words! {
    /// A permission that an API key carries.
    Scope {
        /// Create and cancel jobs.
        JobsWrite = "jobs:write",
        /// Read jobs, pages and results.
        JobsRead = "jobs:read",
        /// Read webhook deliveries and the signing secret.
        WebhooksManage = "webhooks:manage",
        /// Create, list and revoke API keys of the own tenant.
        KeysManage = "keys:manage",
        /// See the crawlers and their lanes.
        WorkersRead = "workers:read",
        /// Crawl what robots.txt asks to leave alone.
        RobotsIgnore = "robots:ignore",
        /// Run scripts of the caller's own in pages.
        BrowserScript = "browser:script",
        /// Follow links: one request, many pages.
        CrawlDeep = "crawl:deep",
        /// Follow links to any host.
        CrawlExternal = "crawl:external",
        /// Send headers and a user agent of one's own to sites, over plain HTTP or from the browser.
        HeadersSet = "headers:set",
        /// Send cookies of one's own to sites, or start the browser with cookies or local storage.
        CookiesSet = "cookies:set",
        /// Send the requests of a job through a proxy of one's own.
        ProxySet = "proxy:set",
        /// Read pages in named sessions, and list and delete the sessions of the own tenant.
        SessionUse = "session:use",
        /// Create tenants: the operator's scope.
        TenantsManage = "tenants:manage",
    }
}
