//! The tables of the result service. Append only: a migration that has shipped never changes.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, Index, IndexCreateStatement, MigrationName, MigrationTrait, MigratorTrait,
    SchemaManager, Table, TableCreateStatement,
};

/// All migrations, oldest first.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First), Box::new(Second), Box::new(Third), Box::new(Fourth)]
    }
}

#[derive(DeriveIden)]
enum Document {
    Table,
    Tenant,
    Job,
    Page,
    DispatchSeq,
    Verdict,
    Size,
    Folder,
    Artifacts,
    StoreTime,
    ExpireTime,
}

#[derive(DeriveIden)]
enum Garbage {
    Table,
    Folder,
    DueTime,
}

#[derive(DeriveIden)]
enum Latest {
    Table,
    Tenant,
    CacheKey,
    Job,
    Page,
    ExpireTime,
}

#[derive(DeriveIden)]
enum Part {
    Table,
    Tenant,
    Job,
    Page,
    Name,
    DispatchSeq,
    Packed,
}

#[derive(DeriveIden)]
enum Session {
    Table,
    Tenant,
    Name,
    Id,
    TtlMs,
    CreateTime,
    UseTime,
    ExpireTime,
    Cookies,
    Origins,
    Size,
    Sealed,
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &'static str {
        "m0001_documents_and_garbage"
    }
}

#[async_trait::async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature is written so")]
impl MigrationTrait for First {
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema.create_table(document()).await?;
        schema.create_table(garbage()).await?;
        schema.create_index(document_by_expiry()).await?;
        schema.create_index(garbage_by_due_time()).await
    }
}

struct Second;

impl MigrationName for Second {
    fn name(&self) -> &'static str {
        "m0002_latest"
    }
}

#[async_trait::async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature is written so")]
impl MigrationTrait for Second {
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema.create_table(latest()).await?;
        let by_expiry =
            Index::create().name("latest_by_expiry").table(Latest::Table).col(Latest::ExpireTime).take();
        schema.create_index(by_expiry).await
    }
}

struct Third;

impl MigrationName for Third {
    fn name(&self) -> &'static str {
        "m0003_part"
    }
}

#[async_trait::async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature is written so")]
impl MigrationTrait for Third {
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema.create_table(part()).await
    }
}

struct Fourth;

impl MigrationName for Fourth {
    fn name(&self) -> &'static str {
        "m0004_session"
    }
}

#[async_trait::async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature is written so")]
impl MigrationTrait for Fourth {
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema.create_table(session()).await?;
        let by_expiry =
            Index::create().name("session_by_expiry").table(Session::Table).col(Session::ExpireTime).take();
        schema.create_index(by_expiry).await
    }
}

fn session() -> TableCreateStatement {
    Table::create()
        .table(Session::Table)
        .col(ColumnDef::new(Session::Tenant).uuid().not_null())
        .col(ColumnDef::new(Session::Name).text().not_null())
        .col(ColumnDef::new(Session::Id).uuid().not_null())
        .col(ColumnDef::new(Session::TtlMs).big_integer().not_null())
        .col(ColumnDef::new(Session::CreateTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Session::UseTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Session::ExpireTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Session::Cookies).big_integer().not_null())
        .col(ColumnDef::new(Session::Origins).big_integer().not_null())
        .col(ColumnDef::new(Session::Size).big_integer().not_null())
        .col(ColumnDef::new(Session::Sealed).binary().not_null())
        .primary_key(Index::create().col(Session::Tenant).col(Session::Name))
        .take()
}

/// A table of its own: lists of documents do not read over their bytes.
fn part() -> TableCreateStatement {
    Table::create()
        .table(Part::Table)
        .col(ColumnDef::new(Part::Tenant).uuid().not_null())
        .col(ColumnDef::new(Part::Job).uuid().not_null())
        .col(ColumnDef::new(Part::Page).uuid().not_null())
        .col(ColumnDef::new(Part::Name).text().not_null())
        .col(ColumnDef::new(Part::DispatchSeq).big_integer().not_null())
        .col(ColumnDef::new(Part::Packed).binary().not_null())
        .primary_key(Index::create().col(Part::Tenant).col(Part::Job).col(Part::Page).col(Part::Name))
        .take()
}

fn latest() -> TableCreateStatement {
    Table::create()
        .table(Latest::Table)
        .col(ColumnDef::new(Latest::Tenant).uuid().not_null())
        .col(ColumnDef::new(Latest::CacheKey).binary_len(32).not_null())
        .col(ColumnDef::new(Latest::Job).uuid().not_null())
        .col(ColumnDef::new(Latest::Page).uuid().not_null())
        .col(ColumnDef::new(Latest::ExpireTime).timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col(Latest::Tenant).col(Latest::CacheKey))
        .take()
}

/// The primary key is also the order of a job's list: page ids are in the order in which pages were found.
fn document() -> TableCreateStatement {
    Table::create()
        .table(Document::Table)
        .col(ColumnDef::new(Document::Tenant).uuid().not_null())
        .col(ColumnDef::new(Document::Job).uuid().not_null())
        .col(ColumnDef::new(Document::Page).uuid().not_null())
        .col(ColumnDef::new(Document::DispatchSeq).big_integer().not_null())
        .col(ColumnDef::new(Document::Verdict).text().not_null())
        .col(ColumnDef::new(Document::Size).big_integer().not_null())
        .col(ColumnDef::new(Document::Folder).text().not_null())
        .col(ColumnDef::new(Document::Artifacts).json_binary().not_null())
        .col(ColumnDef::new(Document::StoreTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Document::ExpireTime).timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col(Document::Tenant).col(Document::Job).col(Document::Page))
        .take()
}

fn garbage() -> TableCreateStatement {
    Table::create()
        .table(Garbage::Table)
        .col(ColumnDef::new(Garbage::Folder).text().not_null().primary_key())
        .col(ColumnDef::new(Garbage::DueTime).timestamp_with_time_zone().not_null())
        .take()
}

fn document_by_expiry() -> IndexCreateStatement {
    Index::create().name("document_by_expiry").table(Document::Table).col(Document::ExpireTime).take()
}

fn garbage_by_due_time() -> IndexCreateStatement {
    Index::create().name("garbage_by_due_time").table(Garbage::Table).col(Garbage::DueTime).take()
}
