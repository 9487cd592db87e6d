// The peer of the broker: gRPC core's own mutual TLS and one bidirectional stream for each client.
//
//      bench_grpc server PORT DIRECTORY
//      bench_grpc fleet PORT DIRECTORY COUNT
//
// DIRECTORY has ca.pem, server.pem, server.key, client.pem, client.key. The server sends one message
// when a stream opens and keeps the stream. The fleet has a channel for each of its COUNT clients
// (no subchannel is shared), opens a stream on each, and again when it ends: by the channel's own
// reconnecting, with wait-for-ready and the library's defaults. It prints `all` and `down` lines as
// bench_fleet does, and ends with its stdin.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr char kMethod[] = "/bench.Tunnel/Attach";

std::string read_file(const std::string &path)
{
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) {
        std::fprintf(stderr, "bench_grpc: %s can not be read\n", path.c_str());
        std::exit(1);
    }
    return text.str();
}

grpc::ByteBuffer message(const std::string &text)
{
    grpc::Slice slice(text);
    return grpc::ByteBuffer(&slice, 1);
}

// ---- the server ----

class Attachment : public grpc::ServerGenericBidiReactor {
public:
    Attachment() : welcome_(message("welcome"))
    {
        StartWrite(&welcome_);
        StartRead(&in_);
    }
    void OnReadDone(bool ok) override
    {
        if (ok)
            StartRead(&in_);
        else
            Finish(grpc::Status::OK);
    }
    void OnDone() override { delete this; }

private:
    grpc::ByteBuffer welcome_, in_;
};

class Service : public grpc::CallbackGenericService {
public:
    grpc::ServerGenericBidiReactor *CreateReactor(grpc::GenericCallbackServerContext *) override
    {
        return new Attachment;
    }
};

int serve(const std::string &port, const std::string &dir)
{
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = read_file(dir + "/ca.pem");
    options.pem_key_cert_pairs.push_back(
        {read_file(dir + "/server.key"), read_file(dir + "/server.pem")});
    Service service;
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort("127.0.0.1:" + port, grpc::SslServerCredentials(options));
    builder.RegisterCallbackGenericService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server)
        return 1;
    std::puts("ready");
    std::fflush(stdout);
    server->Wait();
    return 0;
}

// ---- the fleet ----

struct Fleet {
    size_t count = 0;
    std::atomic<size_t> attached{0};
};

void say(const char *what)
{
    timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    std::printf("%s %lld\n", what, static_cast<long long>(t.tv_sec) * 1000 + t.tv_nsec / 1000000);
    std::fflush(stdout);
}

class Client;

// One stream; when it is over its client opens the next one.
class Stream : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
public:
    Stream(Client *client, grpc::GenericStub *stub, Fleet *fleet) : client_(client), fleet_(fleet)
    {
        context_.set_wait_for_ready(true);
        stub->PrepareBidiStreamingCall(&context_, kMethod, {}, this);
        out_ = message("hello");
        StartWrite(&out_);
        StartRead(&in_);
        StartCall();
    }
    void OnReadDone(bool ok) override
    {
        if (!ok)
            return;
        if (!is_attached_) {
            is_attached_ = true;
            if (++fleet_->attached == fleet_->count)
                say("all");
        }
        StartRead(&in_);
    }
    void OnDone(const grpc::Status &) override;

private:
    Client *client_;
    Fleet *fleet_;
    bool is_attached_ = false;
    grpc::ClientContext context_;
    grpc::ByteBuffer in_, out_;
};

class Client {
public:
    Client(const std::string &address, const std::shared_ptr<grpc::ChannelCredentials> &credentials,
           Fleet *fleet)
        : fleet_(fleet)
    {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        arguments.SetSslTargetNameOverride("bench");
        stub_ = std::make_unique<grpc::GenericStub>(
            grpc::CreateCustomChannel(address, credentials, arguments));
        open();
    }
    void open() { new Stream(this, stub_.get(), fleet_); }

private:
    Fleet *fleet_;
    std::unique_ptr<grpc::GenericStub> stub_;
};

void Stream::OnDone(const grpc::Status &)
{
    if (is_attached_ && fleet_->attached-- == fleet_->count)
        say("down");
    client_->open();
    delete this;
}

int fly(const std::string &port, const std::string &dir, size_t count)
{
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = read_file(dir + "/ca.pem");
    options.pem_private_key = read_file(dir + "/client.key");
    options.pem_cert_chain = read_file(dir + "/client.pem");
    Fleet fleet;
    fleet.count = count;
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < count; i++)
        clients.push_back(std::make_unique<Client>("127.0.0.1:" + port,
                                                   grpc::SslCredentials(options), &fleet));
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    _exit(0);
}

void raise_descriptors()
{
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

} // namespace

int main(int argc, char **argv)
{
    raise_descriptors();
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "server" && argc == 4)
        return serve(argv[2], argv[3]);
    if (what == "fleet" && argc == 5)
        return fly(argv[2], argv[3], std::strtoul(argv[4], nullptr, 10));
    std::fprintf(stderr, "usage: bench_grpc server PORT DIRECTORY | fleet PORT DIRECTORY COUNT\n");
    return 2;
}
