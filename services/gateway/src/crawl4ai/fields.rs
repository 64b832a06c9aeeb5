//! What becomes of each field of Crawl4AI 0.9's configuration objects, as data.
//!
//! A field that is not in these tables is unknown to Crawl4AI as well.

use serde_json::Value;

/// What becomes of a field.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// It takes effect.
    Sets(Setting),
    /// It says what is read of a page.
    Extracts,
    /// It says what is done with a page in the browser.
    Browses,
    /// It changes nothing that the caller would see, or crawlmesh does it its own way. Reported as ignored.
    Ignored,
    /// It changes what a screenshot shows. Refused with one, otherwise ignored.
    Picture,
    /// It would change the result. Refused, unless its value asks for nothing.
    Refused,
    /// Refused, unless the value is the one thing that crawlmesh does anyway.
    Unless(fn(&Value) -> bool),
}

/// A setting of ours.
#[derive(Clone, Copy)]
pub(super) enum Setting {
    JavaScript,
    Screenshot,
    PageTimeout,
    MaxRetries,
    Proxy,
    Session,
    /// Keeps its wrapping: the name of the strategy is in it.
    DeepCrawl,
}

use Fate::{Browses, Extracts, Ignored, Picture, Refused, Sets, Unless};

/// Whether a value asks for nothing, so that any field may have it.
pub(super) fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn chromium(value: &Value) -> bool {
    value == "chromium"
}

fn own_browser(value: &Value) -> bool {
    value == "dedicated" || value == "builtin"
}

fn get(value: &Value) -> bool {
    value.as_str().is_some_and(|method| method.eq_ignore_ascii_case("get"))
}

fn html_scraping(value: &Value) -> bool {
    !value.to_string().contains("PDFContentScrapingStrategy")
}

fn plain_tables(value: &Value) -> bool {
    value.to_string().contains("DefaultTableExtraction")
}

/// Fields of the request itself, beside the three configuration objects.
pub(super) const REQUEST: &[(&str, Fate)] =
    &[("crawler_configs", Refused), ("hooks", Refused), ("priority", Ignored)];

/// `BrowserConfig`.
pub(super) const BROWSER: &[(&str, Fate)] = &[
    ("accept_downloads", Refused),
    ("avoid_ads", Browses),
    ("avoid_css", Browses),
    ("browser_context_id", Refused),
    ("browser_mode", Unless(own_browser)),
    ("browser_type", Unless(chromium)),
    ("cache_cdp_connection", Ignored),
    ("cdp_cleanup_on_close", Ignored),
    ("cdp_close_delay", Ignored),
    ("cdp_url", Refused),
    ("channel", Unless(chromium)),
    ("chrome_channel", Unless(chromium)),
    ("cookies", Browses),
    ("create_isolated_context", Ignored),
    ("debugging_port", Ignored),
    ("device_scale_factor", Browses),
    ("downloads_path", Ignored),
    ("enable_stealth", Refused),
    ("extra_args", Refused),
    ("headers", Browses),
    ("headless", Ignored),
    ("host", Ignored),
    ("ignore_https_errors", Ignored),
    ("init_scripts", Refused),
    ("java_script_enabled", Sets(Setting::JavaScript)),
    ("light_mode", Ignored),
    ("max_pages_before_recycle", Ignored),
    ("memory_saving_mode", Ignored),
    ("proxy", Sets(Setting::Proxy)),
    ("proxy_config", Sets(Setting::Proxy)),
    ("sleep_on_close", Ignored),
    ("storage_state", Browses),
    ("target_id", Refused),
    ("text_mode", Browses),
    ("use_managed_browser", Ignored),
    ("use_persistent_context", Ignored),
    ("user_agent", Browses),
    ("user_agent_generator_config", Refused),
    ("user_agent_mode", Refused),
    ("user_data_dir", Refused),
    ("verbose", Ignored),
    ("viewport", Browses),
    ("viewport_height", Browses),
    ("viewport_width", Browses),
];

/// `CrawlerRunConfig`.
pub(super) const CRAWLER: &[(&str, Fate)] = &[
    ("adjust_viewport_to_content", Picture),
    ("base_url", Refused),
    ("bypass_cache", Ignored),
    ("c4a_script", Refused),
    ("cache_mode", Ignored),
    ("cache_validation_timeout", Ignored),
    ("capture_console_messages", Browses),
    ("capture_mhtml", Browses),
    ("capture_network_requests", Browses),
    ("check_cache_freshness", Ignored),
    ("check_robots_txt", Ignored),
    ("chunking_strategy", Ignored),
    ("css_selector", Extracts),
    ("deep_crawl_strategy", Sets(Setting::DeepCrawl)),
    ("delay_before_return_html", Browses),
    ("disable_cache", Ignored),
    ("exclude_all_images", Extracts),
    ("exclude_domains", Extracts),
    ("exclude_external_images", Extracts),
    ("exclude_external_links", Extracts),
    ("exclude_internal_links", Extracts),
    ("exclude_social_media_domains", Extracts),
    ("exclude_social_media_links", Extracts),
    ("excluded_selector", Extracts),
    ("excluded_tags", Extracts),
    ("experimental", Refused),
    ("extraction_strategy", Extracts),
    ("fallback_fetch_function", Refused),
    ("fetch_ssl_certificate", Refused),
    ("flatten_shadow_dom", Browses),
    ("force_viewport_screenshot", Browses),
    ("geolocation", Browses),
    ("ignore_body_visibility", Ignored),
    ("image_description_min_word_threshold", Ignored),
    ("image_score_threshold", Ignored),
    ("js_code", Browses),
    ("js_code_before_wait", Browses),
    ("js_only", Refused),
    ("keep_attrs", Ignored),
    ("keep_data_attributes", Ignored),
    ("link_preview_config", Refused),
    ("locale", Browses),
    ("log_console", Ignored),
    ("magic", Refused),
    ("markdown_generator", Extracts),
    ("match_mode", Ignored),
    ("max_range", Ignored),
    ("max_retries", Sets(Setting::MaxRetries)),
    ("max_scroll_steps", Browses),
    ("mean_delay", Ignored),
    ("method", Unless(get)),
    ("no_cache_read", Ignored),
    ("no_cache_write", Ignored),
    ("only_text", Extracts),
    ("override_navigator", Refused),
    ("page_timeout", Sets(Setting::PageTimeout)),
    ("parser_type", Ignored),
    ("pdf", Browses),
    ("prefetch", Ignored),
    ("preserve_https_for_internal_links", Ignored),
    ("prettiify", Ignored),
    ("process_iframes", Browses),
    ("process_in_browser", Refused),
    ("proxy_config", Sets(Setting::Proxy)),
    ("proxy_rotation_strategy", Refused),
    ("proxy_session_auto_release", Refused),
    ("proxy_session_id", Refused),
    ("proxy_session_ttl", Refused),
    ("remove_consent_popups", Browses),
    ("remove_forms", Ignored),
    ("remove_overlay_elements", Browses),
    ("scan_full_page", Browses),
    ("score_links", Refused),
    ("scraping_strategy", Unless(html_scraping)),
    ("screenshot", Sets(Setting::Screenshot)),
    ("screenshot_height_threshold", Picture),
    ("screenshot_wait_for", Browses),
    ("scroll_delay", Browses),
    ("semaphore_count", Ignored),
    ("session_id", Sets(Setting::Session)),
    ("shared_data", Refused),
    ("simulate_user", Refused),
    ("stream", Ignored),
    ("table_extraction", Unless(plain_tables)),
    ("table_score_threshold", Ignored),
    ("target_elements", Extracts),
    ("timezone_id", Browses),
    ("url", Ignored),
    ("url_matcher", Refused),
    ("user_agent", Browses),
    ("user_agent_generator_config", Refused),
    ("user_agent_mode", Refused),
    ("verbose", Ignored),
    ("virtual_scroll_config", Browses),
    ("wait_for", Browses),
    ("wait_for_images", Picture),
    ("wait_for_timeout", Browses),
    ("wait_until", Browses),
    ("word_count_threshold", Extracts),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_whole() {
        for table in [REQUEST, BROWSER, CRAWLER] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        // The numbers of fields that Crawl4AI 0.9.2 has.
        assert_eq!((BROWSER.len(), CRAWLER.len()), (44, 99));
    }
}
