#include "runtime/serve/options.h"

#include "cli/model_argument.h"
#include "cli/names.h"

namespace atrous::serve {

void add_options(cli::Verb& verb, Arguments& a) {
  const std::string access = "Who may ask", limits = "Limits";
  cli::add_model_option(verb, a.run);
  verb.add_option("--listen", a.listen, "The address and the port; port 0 is whichever is free")
      .type_name("ADDRESS:PORT")
      .show_default()
      .group(access);
  verb.add_option("--token-file", a.token_file,
                  "Requests bring one of these tokens, one a line (Authorization: Bearer TOKEN)")
      .type_name("FILE")
      .group(access);
  verb.add_flag("--no-token", a.no_token, "Beyond loopback too anybody may ask")
      .excludes("--token-file")
      .group(access);
  verb.add_option("--host", a.hosts, "A further name of this machine: a proxy's, or that of a name service")
      .type_name("NAME")
      .group(access);
  verb.add_option("--cors", a.origins, "Pages of this origin may ask, https://example.org or *")
      .type_name("ORIGIN")
      .group(access);
  verb.add_option("--sessions", a.sessions, "Photos computed at a time (default: 2, on a device 4)")
      .whole_number(1, 64)
      .group(limits);
  verb.add_option("--queue", a.queue, "Photos that may wait; further ones are answered 429")
      .whole_number(0, 10000)
      .show_default()
      .group(limits);
  verb.add_option("--timeout", a.timeout, "Seconds that a photo may wait; then it is answered 503")
      .whole_number(1, 3600)
      .show_default()
      .group(limits);
  verb.add_option("--max-body", a.max_body, "Bytes of a photo's file, at most")
      .type_name("BYTES")
      .show_default()
      .group(limits);
  verb.add_option("--max-megapixels", a.max_megapixels, "Millions of pixels of a photo, at most")
      .whole_number(1, 1000)
      .show_default()
      .group(limits);
  verb.add_option("--max-runs", a.max_runs,
                  "Work of ?scales= and ?flip=, in runs of the network on the photo, at most; 0: neither")
      .whole_number(0, 2048)
      .show_default()
      .group(limits);
  verb.add_option("--max-crf-megapixels", a.max_crf_megapixels,
                  "Millions of pixels of a photo with ?crf=1, at most; 0: none")
      .whole_number(0, 1000)
      .show_default()
      .group(limits);
  verb.add_option("--connections", a.connections, "Connections at a time")
      .whole_number(8, 100000)
      .show_default()
      .group(limits);
  verb.add_option("--log", a.log, "A line for each request is added to this file, or - for standard output")
      .type_name("FILE");
  verb.add_flag("-q,--quiet", a.quiet, "Do not say the address on standard output");
  verb.add_option("--classes", a.classes, std::string(cli::classes_help)).type_name("FILE");
  verb.add_option("--palette", a.palette, "Colours: voc, hub, or a file of them").type_name("FILE");
  cli::add_size_options(verb, a.size, "Size in the network");
  cli::add_normalise_options(verb, a.normalise, "Normalising");
  cli::add_device_options(verb, a.run);
  cli::add_run_options(verb, a.run);
  verb.footer(
      "Examples:\n"
      "  atrous-serve                                     the network for streets that is built in\n"
      "  curl --data-binary @street.jpg http://127.0.0.1:8080/v1/segment\n"
      "  curl --data-binary @street.jpg 'http://127.0.0.1:8080/v1/segment?output=overlay' -o overlay.png");
}

}  // namespace atrous::serve
