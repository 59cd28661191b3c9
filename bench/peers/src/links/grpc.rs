//! The same echo over gRPC: tonic with TLS, its bodies as they are, without protobuf.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::Ask;
use super::echo::Echo;

#[derive(Debug, Clone, Copy, Default)]
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[derive(Debug, Clone, Copy)]
struct EchoService;

impl NamedService for EchoService {
    const NAME: &'static str = "bench.Echo";
}

#[derive(Debug, Clone, Copy)]
struct Unary;

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for EchoService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(AsItIs).unary(Unary, request).await) })
    }
}

pub(crate) async fn grpc() -> Echo {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, key));
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a port").with_nodelay(Some(true));
    let addr = incoming.local_addr().expect("it is bound");
    let server = Server::builder().tls_config(tls).expect("a config").add_service(EchoService);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { server.serve_with_incoming(incoming).await.expect("it serves") });
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate)).domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://{addr}")).expect("an address").tcp_nodelay(true);
    let channel = endpoint.tls_config(tls).expect("a config").connect().await.expect("it is there");
    let ask: Ask = Arc::new(move |body| {
        let mut client = tonic::client::Grpc::new(channel.clone());
        Box::pin(async move {
            client.ready().await.expect("it is open");
            let path = http::uri::PathAndQuery::from_static("/bench.Echo/Echo");
            client.unary(Request::new(body), path, AsItIs).await.expect("answered").into_inner()
        })
    });
    Echo::new(ask, tasks)
}
