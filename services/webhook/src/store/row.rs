//! The tables as sea-orm sees them, and rows to values and back.
#![expect(
    unreachable_pub,
    reason = "the entity macros generate pub items, private to the store by their module"
)]

use domain::{JobId, TenantId, id::DeliveryId};
use sea_orm::{ActiveValue::Set, JsonValue};

use crate::{
    delivery::{Attempt, Delivery, State},
    error::Error,
};

/// How far the event log has been read: one row.
pub(super) mod cursor {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "cursor")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub position: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Deliveries.
pub(super) mod delivery {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "delivery")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant: Uuid,
        pub job: Uuid,
        pub event_type: String,
        pub event_id: String,
        #[sea_orm(column_type = "Text")]
        pub url: String,
        pub host: String,
        pub headers: Json,
        pub body: Vec<u8>,
        pub state: String,
        pub attempts: i32,
        pub create_time: TimeDateTimeWithTimeZone,
        pub next_attempt_time: Option<TimeDateTimeWithTimeZone>,
        pub lease_until: Option<TimeDateTimeWithTimeZone>,
        pub end_time: Option<TimeDateTimeWithTimeZone>,
        pub traceparent: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Attempts.
pub(super) mod attempt {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "attempt")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub delivery: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i32,
        pub start_time: TimeDateTimeWithTimeZone,
        pub duration_ms: i64,
        pub http_status: Option<i32>,
        pub error: String,
        #[sea_orm(column_type = "Text")]
        pub response: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Signing secrets, sealed.
pub(super) mod secret {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_secret")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant: Uuid,
        pub sealed: Vec<u8>,
        pub create_time: TimeDateTimeWithTimeZone,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

impl TryFrom<delivery::Model> for Delivery {
    type Error = Error;

    fn try_from(row: delivery::Model) -> Result<Self, Error> {
        Ok(Self {
            id: DeliveryId(row.id),
            tenant: TenantId(row.tenant),
            job: JobId(row.job),
            event_type: row.event_type,
            event_id: row.event_id,
            url: row.url,
            headers: serde_json::from_value(row.headers).map_err(|_| Error::Row("headers"))?,
            body: row.body,
            state: State::parse(&row.state).ok_or(Error::Row("state"))?,
            attempts: u32::try_from(row.attempts).map_err(|_| Error::Row("attempts"))?,
            create_time: row.create_time,
            next_attempt_time: row.next_attempt_time,
            traceparent: row.traceparent,
        })
    }
}

impl From<&Delivery> for delivery::ActiveModel {
    fn from(delivery: &Delivery) -> Self {
        let headers =
            delivery.headers.iter().map(|(name, value)| JsonValue::from(vec![name.as_str(), value.as_str()]));
        Self {
            id: Set(delivery.id.0),
            tenant: Set(delivery.tenant.0),
            job: Set(delivery.job.0),
            event_type: Set(delivery.event_type.clone()),
            event_id: Set(delivery.event_id.clone()),
            url: Set(delivery.url.clone()),
            host: Set(host(&delivery.url)),
            headers: Set(JsonValue::Array(headers.collect())),
            body: Set(delivery.body.clone()),
            state: Set(delivery.state.as_str().to_owned()),
            attempts: Set(i32::try_from(delivery.attempts).unwrap_or(i32::MAX)),
            create_time: Set(delivery.create_time),
            next_attempt_time: Set(delivery.next_attempt_time.map(::store::comparable)),
            lease_until: Set(None),
            end_time: Set(None),
            traceparent: Set(delivery.traceparent.clone()),
        }
    }
}

/// What `per_host` counts by. A URL that is none is a host of its own; its attempt will say so.
fn host(url: &str) -> String {
    url::Url::parse(url).ok().and_then(|url| Some(url.host_str()?.to_owned())).unwrap_or_default()
}

impl Attempt {
    pub(super) fn to_row(&self, delivery: DeliveryId) -> attempt::ActiveModel {
        attempt::ActiveModel {
            delivery: Set(delivery.0),
            number: Set(i32::try_from(self.number).unwrap_or(i32::MAX)),
            start_time: Set(self.start_time),
            duration_ms: Set(i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX)),
            http_status: Set(self.http_status.map(i32::from)),
            error: Set(self.error.clone()),
            response: Set(self.response.clone()),
        }
    }
}

impl From<attempt::Model> for Attempt {
    fn from(row: attempt::Model) -> Self {
        Self {
            number: u32::try_from(row.number).unwrap_or_default(),
            start_time: row.start_time,
            duration: std::time::Duration::from_millis(u64::try_from(row.duration_ms).unwrap_or_default()),
            http_status: row.http_status.and_then(|status| u16::try_from(status).ok()),
            error: row.error,
            response: row.response,
        }
    }
}
