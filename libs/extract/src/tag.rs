//! HTML element names as a small enum, so that walks compare bytes and not strings.

macro_rules! tags {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// Name of an element that this crate treats in its own way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Tag { $($variant,)* Text, Other }

        impl Tag {
            /// The tag of a lower-case element name.
            pub(crate) fn of(name: &str) -> Self {
                match name { $($name => Self::$variant,)* _ => Self::Other }
            }
        }
    };
}

tags! {
    A "a", Address "address", Area "area", Article "article", Aside "aside", Audio "audio", B "b", Base "base",
    Blockquote "blockquote", Body "body", Br "br", Button "button", Caption "caption", Center "center", Cite "cite",
    Code "code", Datalist "datalist", Dd "dd", Del "del", Details "details", Dfn "dfn", Dialog "dialog", Div "div",
    Dl "dl", Dt "dt", Em "em", Fieldset "fieldset", Figcaption "figcaption", Figure "figure", Footer "footer",
    Form "form", Frame "frame", H1 "h1", H2 "h2", H3 "h3", H4 "h4", H5 "h5", H6 "h6", Head "head", Header "header",
    Hgroup "hgroup", Hr "hr", Html "html", I "i", Iframe "iframe", Img "img", Input "input", Kbd "kbd",
    Legend "legend", Li "li", Link "link", Main "main", Math "math", Menu "menu", Meta "meta", Nav "nav",
    Noscript "noscript", Object "object", Ol "ol", Option "option", P "p", Picture "picture", Pre "pre", Q "q", S "s",
    Samp "samp", Script "script", Search "search", Section "section", Select "select", Source "source", Span "span",
    Strike "strike", Strong "strong", Style "style", Sub "sub", Summary "summary", Sup "sup", Svg "svg",
    Table "table", Tbody "tbody", Td "td", Template "template", Textarea "textarea", Tfoot "tfoot", Th "th",
    Thead "thead", Title "title", Tr "tr", Tt "tt", Ul "ul", Var "var", Video "video",
}

impl Tag {
    /// 1 to 6 for a heading.
    pub(crate) fn heading(self) -> Option<u8> {
        Some(match self {
            Self::H1 => 1,
            Self::H2 => 2,
            Self::H3 => 3,
            Self::H4 => 4,
            Self::H5 => 5,
            Self::H6 => 6,
            _ => return None,
        })
    }

    /// Whether a browser starts a new line before and after it.
    pub(crate) fn block(self) -> bool {
        self.heading().is_some()
            || matches!(
                self,
                Self::Address
                    | Self::Article
                    | Self::Aside
                    | Self::Blockquote
                    | Self::Body
                    | Self::Caption
                    | Self::Center
                    | Self::Dd
                    | Self::Details
                    | Self::Dialog
                    | Self::Div
                    | Self::Dl
                    | Self::Dt
                    | Self::Fieldset
                    | Self::Figcaption
                    | Self::Figure
                    | Self::Footer
                    | Self::Form
                    | Self::Header
                    | Self::Hgroup
                    | Self::Hr
                    | Self::Html
                    | Self::Legend
                    | Self::Li
                    | Self::Main
                    | Self::Menu
                    | Self::Nav
                    | Self::Ol
                    | Self::P
                    | Self::Pre
                    | Self::Search
                    | Self::Section
                    | Self::Summary
                    | Self::Table
                    | Self::Tbody
                    | Self::Td
                    | Self::Tfoot
                    | Self::Th
                    | Self::Thead
                    | Self::Tr
                    | Self::Ul
            )
    }

    /// Whether its content is never shown as text.
    pub(crate) fn silent(self) -> bool {
        matches!(
            self,
            Self::Script
                | Self::Style
                | Self::Template
                | Self::Svg
                | Self::Noscript
                | Self::Head
                | Self::Datalist
                | Self::Select
                | Self::Option
                | Self::Textarea
                | Self::Object
        )
    }
}
