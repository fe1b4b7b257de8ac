#include "layers/cuda/conv2d_call.h"

namespace atrous::cuda {

namespace {

bool is_one_pixel(const Shape& s) { return s.h == 1 && s.w == 1; }

std::string size_of(const Shape& s) { return text(s.n, "x", s.h, "x", s.w, "x", s.c); }

// A map may lie in a wider one if no channels are added to it: those would be its neighbour's.
void check_pitch(std::int64_t pitch, std::int64_t channels, Precision precision, std::string_view what) {
  const std::int64_t padded = device_pitch(channels, precision);
  if (pitch == padded || (pitch > padded && channels == padded)) return;
  fail(ErrorCode::invalid_argument, "conv2d on cuda: ", what, " of ", channels,
       " channels: expected a pitch of ", padded, ", found ", pitch);
}

}  // namespace

Conv2dProblem dense_problem(std::span<const Shape> inputs, const Shape& out, Precision precision) {
  Conv2dProblem p{inputs[0], out, device_pitch(inputs[0].c, precision), device_pitch(out.c, precision)};
  if (inputs.size() > 1) p.repeated_residual = is_one_pixel(inputs[1]);
  if (inputs.size() > 1 && !p.repeated_residual) p.residual_pitch = p.out_pitch;
  return p;
}

Conv2dProblem problem_of(const KernelCall& call, Precision precision) {
  const ConstView& in = call.inputs[0];
  Conv2dProblem p{in.shape, call.output.shape, in.pitch, call.output.pitch};
  check_pitch(p.in_pitch, p.in.c, precision, "input");
  check_pitch(p.out_pitch, p.out.c, precision, "output");
  if (call.inputs.size() < 2) return p;
  const ConstView& residual = call.inputs[1];
  check_pitch(residual.pitch, residual.shape.c, precision, "residual");
  p.repeated_residual = is_one_pixel(residual.shape);
  if (!p.repeated_residual) p.residual_pitch = residual.pitch;
  return p;
}

Conv2dProblem dense(Conv2dProblem p, Precision precision) {
  p.in_pitch = device_pitch(p.in.c, precision);
  p.out_pitch = device_pitch(p.out.c, precision);
  if (p.residual_pitch != 0) p.residual_pitch = p.out_pitch;
  return p;
}

bool is_dense(const Conv2dProblem& p, Precision precision) { return p.key() == dense(p, precision).key(); }

std::string describe(const Conv2d& conv, const Conv2dProblem& p, Precision precision) {
  return text("conv2d ", conv.weight.kernel_h, "x", conv.weight.kernel_w, " stride ", conv.stride,
              " padding ", conv.padding, " dilation ", conv.dilation, " groups ", conv.groups, " ",
              name_of(conv.activation), ", ", size_of(p.in), " -> ", p.out.c,
              p.residual_pitch != 0 ? ", residual, "
              : p.repeated_residual ? ", repeated residual, "
                                    : ", ",
              name_of(precision));
}

Conv2dOperands operands_of(const KernelCall& call, const Context& context) {
  Conv2dOperands operands{
      map_of(call.inputs[0], context), map_of(call.output, context), {}, call.workspace.data()};
  if (call.inputs.size() > 1) operands.residual = map_of(call.inputs[1], context);
  return operands;
}

ScratchOperands::ScratchOperands(const Conv2dProblem& p, std::size_t workspace_bytes, const Context& context)
    : in_(device_bytes(p.in, context.precision())),
      out_(device_bytes(p.out, context.precision())),
      residual_(device_bytes(p.out, context.precision())),
      workspace_(workspace_bytes) {
  for (const Memory* memory : {&in_, &out_, &residual_})
    check(cudaMemset(memory->data(), 0x3c, memory->size()), "cudaMemset");  // 0.01 in fp32, 1.06 in half
  const auto map = [&](const Memory& memory, const Shape& shape) {
    return map_of(ConstView{static_cast<const float*>(memory.data()), shape,
                            device_pitch(shape.c, context.precision())},
                  context);
  };
  operands_ = {map(in_, p.in), map(out_, p.out), {}, static_cast<std::byte*>(workspace_.data())};
  if (p.residual_pitch != 0) operands_.residual = map(residual_, p.out);
  if (p.repeated_residual) operands_.residual = map(residual_, {p.out.n, 1, 1, p.out.c});
}

}  // namespace atrous::cuda
