custom_imports = dict(imports=["mixnet_dense"], allow_failed_imports=False)
custom_hooks = [dict(type="mixnet_dense.LiveProgressHook")]
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
